/** The end of one image: written down once, whatever else happens, and told to whoever waits. */

import { stringifyJson } from '../../api/json.ts';
import type { Context } from '../handler.ts';
import type { KnownTask } from './lookup.ts';
import { type KeptItem, type Outcome, writeOutcome } from './outcome.ts';

type Desk = Pick<Context, 'parts' | 'tracker'>;

/** False when the result was settled before: then that outcome stays. `also` is part of the same transaction. */
export function settle(
  task: KnownTask,
  result: string,
  outcome: Outcome,
  { parts, tracker }: Desk,
  also: () => void = () => {},
): boolean {
  const { tasks, inputs, deliveries, outbox, metrics, log } = parts;
  const withWebhook = task.terms.webhookURL !== undefined;
  let left = { open: 0, failed: 0 };
  const settled = tasks.settle(result, writeOutcome(outcome), () => {
    if (withWebhook) deliveries.add('webhook', result);
    also();
    left = tasks.tally(task.uuid);
  });
  tracker.setProgress(result, undefined);
  if (!settled) return false;
  tracker.announce(task.uuid);
  if (withWebhook) outbox.wake();
  if (left.open === 0) {
    metrics.taskEnded(task.type, left.failed > 0 ? 'failure' : 'success');
    // Left behind, they are removed at the next start.
    inputs.remove(task.uuid).catch((error) => log.warn('Inputs stay behind.', { error }));
  }
  return true;
}

/** A picture is there; its result is settled now, or once it was uploaded. False and `also` as with `settle`. */
export function conclude(
  task: KnownTask,
  result: string,
  item: KeptItem,
  desk: Desk,
  also: () => void,
): boolean {
  const { tasks, deliveries, outbox } = desk.parts;
  if (task.terms.uploadEndpoint === undefined) return settle(task, result, { item }, desk, also);
  const held = tasks.hold(result, stringifyJson(item), () => {
    deliveries.add('upload', result);
    also();
  });
  if (held) outbox.wake();
  return held;
}
