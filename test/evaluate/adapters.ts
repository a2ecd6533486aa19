/** Expected results of instructions with one of the embedded model's adapters, derived from cases without one. */
import type { Case, Scene, Scenes } from './scenes.ts';

/** A case with an adapter by its AIR, and the scene that an IP-Adapter is shown. */
export type AdapterCase = Case & { lora?: string; ipAdapter?: { air: string; guide: Scene } };

/** Instructions that leave the place as it is: the adapter decides it. */
const kinds = ['recolor', 'replace', 'add', 'remove', 'resize', 'count'];

/** Everything comes out in neon. */
export function neonCases({ cases }: Scenes): AdapterCase[] {
  return cases.flatMap(({ neon, ...task }) =>
    neon ? [{ ...task, kind: 'neon', lora: 'retouch:neon@1', after: neon }] : [],
  );
}

/** Everything comes out in the time and over the ground of the guide picture, an empty scene. */
export function moodCases(scenes: Scenes): AdapterCase[] {
  return placed(scenes).flatMap((task, i) => {
    const others = scenes.fieldsOf(sizeOf(task)).filter((field) => isOther(field, task.after));
    const field = others[i % others.length];
    if (!field) return [];
    const ipAdapter = { air: 'retouch:mood@1', guide: { field, things: [] } };
    return [{ ...task, kind: 'mood', ipAdapter, after: { ...task.after, field } }];
  });
}

const placed = ({ cases }: Scenes) =>
  cases.filter(({ kind, after }) => kinds.includes(kind) && !after.field.startsWith('plain'));
const sizeOf = ({ width, height }: Case) => `${width}x${height}`;
const isOther = (field: string, { field: own }: Scene) => !/^(plain|neon)/.test(field) && field !== own;
