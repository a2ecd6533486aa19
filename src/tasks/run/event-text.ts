/** Events of the engine as lines of a log. */
import { caches } from '../../engine/caches/index.ts';
import type { EngineEvent } from '../../engine/plan.ts';

/** A sentence, or undefined for events that are not logged. */
export function eventText(event: EngineEvent): string | undefined {
  if (event.type === 'cache-end') {
    const { cache, evaluations, reused, savedMilliseconds } = event;
    const saved = (savedMilliseconds / 1000).toFixed(2);
    return `${caches[cache].title} reused ${reused} of ${evaluations} evaluations, which saved about ${saved} s.`;
  }
  if (event.type === 'references-end') {
    const { evaluations, reused } = event;
    return `References were computed in ${evaluations - reused} of ${evaluations} evaluations.`;
  }
  if (event.type === 'warning') return event.message;
  if (event.type === 'faces-end') {
    const { found, faces } = event;
    return `${found === 1 ? '1 face was' : `${found} faces were`} found, and ${faces.length} painted again.`;
  }
  if (event.type !== 'encode-end' || !event.references?.length) return undefined;
  const sizes = event.references.map(({ width, height }) => `${width}×${height}`);
  return `References were read at ${sizes.join(', ')}.`;
}
