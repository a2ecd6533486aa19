/** The end of one image: written down once, whatever else happens, and told to whoever waits. */

import type { Context } from './handler.ts';
import type { KnownTask } from './lookup.ts';
import { type Outcome, writeOutcome } from './outcome.ts';

/** False when the result was settled before: then that outcome stays. */
export function settle(
  task: KnownTask,
  result: string,
  outcome: Outcome,
  { parts, tracker }: Pick<Context, 'parts' | 'tracker'>,
): boolean {
  const settled = parts.tasks.settle(result, writeOutcome(outcome));
  tracker.setProgress(result, undefined);
  if (!settled) return false;
  tracker.announce(task.uuid);
  if (parts.tasks.isSettled(task.uuid)) {
    const failed = parts.tasks.results(task.uuid).some(({ failure }) => failure !== null);
    parts.metrics.taskEnded(task.type, failed ? 'failure' : 'success');
    // Left behind, they are removed at the next start.
    parts.inputs.remove(task.uuid).catch((error) => parts.log.warn('Inputs stay behind.', { error }));
  }
  return true;
}
