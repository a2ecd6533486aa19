/** Settles the result of an image exactly once, and wakes its waiters. */

import { stringifyJson } from '../../api/json.ts';
import type { RetouchError } from '../../error.ts';
import type { Log } from '../../log.ts';
import type { Delivery, DeliveryKind, DeliveryStore, NewDelivery } from '../../store/deliveries.ts';
import type { InputStore } from '../../store/inputs.ts';
import type { TaskStore } from '../../store/tasks.ts';
import type { Outbox } from '../deliveries/outbox.ts';
import { type Failures, isDamage } from '../failures.ts';
import type { TaskMetrics } from '../metrics/task-metrics.ts';
import { type KnownTask, salvagedTask } from './lookup.ts';
import { type KeptItem, type Outcome, readItem, writeOutcome } from './outcome.ts';
import type { Tracker } from './tracker.ts';

export type SettlementOptions = {
  tasks: TaskStore;
  inputs: InputStore;
  deliveries: DeliveryStore;
  outbox: Outbox;
  tracker: Tracker;
  metrics: TaskMetrics;
  failures: Failures;
  log: Log;
};

export class Settlement {
  readonly #options: SettlementOptions;

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  /** False when the result was settled before: that outcome stays. `also` is part of the same transaction. */
  settle(
    task: KnownTask,
    { result, ...outcome }: { result: string } & Outcome,
    also: () => void = () => {},
  ): boolean {
    const { tasks, inputs, deliveries, outbox, tracker, metrics, log } = this.#options;
    const { webhookURL } = task.terms;
    let left = { open: 0, failed: 0 };
    const settled = tasks.settle(result, writeOutcome(outcome as Outcome), () => {
      if (webhookURL !== undefined) deliveries.add(newDelivery(task, 'webhook', { result, url: webhookURL }));
      also();
      left = tasks.tally(task.uuid);
    });
    tracker.setProgress(result, undefined);
    if (!settled) return false;
    tracker.announce(task.uuid);
    if (webhookURL !== undefined) outbox.wake();
    if (left.open === 0) {
      metrics.taskEnded(task.type, left.failed > 0 ? 'failure' : 'success');
      // Inputs that could not be removed are removed at the next start.
      inputs.remove(task.uuid).catch((error) => log.warn('Inputs stay behind.', { error }));
    }
    return true;
  }

  /**
   * Call after the image was stored: settles its result now, or after its upload. `also` and the return value are those
   * of `settle`.
   */
  conclude(task: KnownTask, end: { result: string; item: KeptItem }, also: () => void): boolean {
    const { tasks, deliveries, outbox } = this.#options;
    const { uploadEndpoint: url } = task.terms;
    if (url === undefined) return this.settle(task, end, also);
    const held = tasks.hold(end.result, stringifyJson(end.item), () => {
      deliveries.add(newDelivery(task, 'upload', { result: end.result, url }));
      also();
    });
    if (held) outbox.wake();
    return held;
  }

  /** Call after a delivery was acknowledged or given up. Settles the result of an image that waited for its upload. */
  deliveryEnded({ kind, result }: Delivery, error: RetouchError | undefined): void {
    const { tasks, metrics, failures } = this.#options;
    metrics.deliveryEnded(kind, error ? 'failure' : 'success');
    const found = kind === 'upload' ? tasks.result(result) : undefined;
    if (!found?.result.made) return;
    const task = salvagedTask(found.task);
    try {
      const made = readItem(found.result.made);
      const uploadError = error && {
        uploadError: { code: error.code, message: failures.messageOf(error) },
      };
      this.settle(task, { result, item: { ...made, ...uploadError } });
    } catch (damage) {
      if (!isDamage(damage)) throw damage;
      const place = { taskType: task.type, taskUUID: task.terms.taskUUID };
      this.settle(task, { result, failure: failures.of(damage, place) });
    }
  }
}

function newDelivery(
  { account }: KnownTask,
  kind: DeliveryKind,
  { result, url }: { result: string; url: string },
): NewDelivery {
  return { kind, result, account, host: new URL(url).hostname };
}
