/**
 * What the server does with a valid Task, whatever it came over. A table of handlers says how each type is performed;
 * images are made by the queue's worker, and go on being made whether or not anyone waits.
 */

import type { Failure } from '../api/errors.ts';
import { parseJson } from '../api/json.ts';
import type { ParseContext, ValidTask } from '../api/parse.ts';
import type { Reply } from '../api/results.ts';
import type { Task } from '../api/tasks/index.ts';
import type { RetouchError } from '../error.ts';
import type { Delivery } from '../store/deliveries.ts';
import { createSend } from './deliveries/send.ts';
import { toFailure } from './failures.ts';
import type { Caller, Handler, ServiceParts } from './handler.ts';
import { handlers } from './handlers/index.ts';
import type { TaskOutcome } from './metrics/task-metrics.ts';
import { knownTask } from './results/lookup.ts';
import type { KeptItem } from './results/outcome.ts';
import { Resumption } from './results/resumption.ts';
import { settle } from './results/settle.ts';
import { Tracker } from './results/tracker.ts';
import { createWork } from './worker.ts';

export type { Caller, ServiceParts } from './handler.ts';

/** Expired pictures are not served any more, whenever their files go. Milliseconds. */
const sweepInterval = 60_000;

export class TaskService {
  readonly #parts: ServiceParts;
  readonly #tracker = new Tracker();
  readonly resumption: Resumption;
  #sweeping: NodeJS.Timeout | undefined;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.resumption = new Resumption({ parts, tracker: this.#tracker });
  }

  get parseContext(): ParseContext {
    const { models, maxTasks } = this.#parts;
    const explainMissingModel = (air: string) => (models.find(air) ? undefined : models.explainMissing(air));
    return { maxTasks, explainMissingModel, explainAdapter: models.explainAdapter.bind(models) };
  }

  /** Begins to make images: first those that an earlier process left. */
  async start(): Promise<void> {
    const { tasks, inputs, queue, outbox, log } = this.#parts;
    const open = tasks.unmadeResults();
    await inputs.keepOnly(new Set(tasks.openTasks()));
    await queue.restore(open);
    if (open.length > 0)
      log.info(`${open.length} images that were asked for before this start are made now.`);
    const desk = { parts: this.#parts, tracker: this.#tracker };
    queue.start(createWork(desk));
    outbox.start(createSend(desk));
    await this.#sweep();
    this.#sweeping = setInterval(() => void this.#sweep(), sweepInterval);
  }

  /** Everything there is to say about a task, each as soon as it is known. Never throws. */
  async *perform({ task, wire }: ValidTask, caller: Caller): AsyncGenerator<Reply> {
    const { taskType, taskUUID } = task;
    const { metrics, log } = this.#parts;
    const handle = handlers[taskType] as Handler<Task>;
    let outcome: TaskOutcome = 'success';
    try {
      for await (const reply of handle(task, { parts: this.#parts, tracker: this.#tracker, caller, wire })) {
        if ('failure' in reply) outcome = 'failure';
        yield reply;
      }
      // One that was accepted ends with its last image, see settle.
      if (taskType !== 'imageInference') metrics.taskEnded(taskType, outcome);
    } catch (error) {
      metrics.taskEnded(taskType, 'failure');
      const place = { taskType, ...(taskUUID === undefined ? {} : { taskUUID }) };
      const errors = error instanceof AggregateError ? error.errors : [error];
      for (const each of errors) yield { failure: toFailure(each, place, log) };
    }
  }

  /** What is said to a task that is not valid. */
  refuse(failures: readonly Failure[]): Reply[] {
    this.#parts.metrics.taskRefused(failures);
    return failures.map((failure) => ({ failure }));
  }

  /** Seconds after which there may be room for a task that found none. */
  get retryAfter(): number {
    const { pace, queue } = this.#parts;
    return pace.retryAfter(queue.depth);
  }

  /** What became of a delivery; the result of a picture that was to be uploaded first is known now. */
  endDelivery({ kind, result: uuid }: Delivery, error: RetouchError | undefined): void {
    const { tasks, metrics } = this.#parts;
    metrics.deliveryEnded(kind, error ? 'failure' : 'success');
    const found = kind === 'upload' ? tasks.result(uuid) : undefined;
    if (!found?.result.made) return;
    const made = parseJson(found.result.made) as KeptItem;
    const uploadError = error && { uploadError: { code: error.code, message: error.message } };
    const desk = { parts: this.#parts, tracker: this.#tracker };
    settle(knownTask(found.task), uuid, { item: { ...made, ...uploadError } }, desk);
  }

  async #sweep(): Promise<void> {
    const { tasks, assets, retention, log } = this.#parts;
    try {
      tasks.sweep(Date.now() - retention);
      await assets.sweep(Date.now() - retention);
    } catch (error) {
      log.error('What has expired could not be removed; it is tried again.', { error });
    }
  }

  /** Tells everyone who waits that this server makes no more; what is accepted is made after the next start. */
  close(): void {
    clearInterval(this.#sweeping);
    this.#tracker.close();
    this.resumption.close();
  }
}
