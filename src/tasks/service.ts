/**
 * What the server does with a valid Task, whatever it came over. A table of handlers says how each type is performed;
 * images are made by the queue's worker, and go on being made whether or not anyone waits.
 */

import type { ParseContext, ValidTask } from '../api/parse.ts';
import type { Reply } from '../api/results.ts';
import type { Task } from '../api/tasks/index.ts';
import { toFailure } from './failures.ts';
import type { Caller, Handler, ServiceParts } from './handler.ts';
import { handlers } from './handlers/index.ts';
import type { TaskOutcome } from './task-metrics.ts';
import { Tracker } from './tracker.ts';
import { createWork } from './worker.ts';

export type { Caller, ServiceParts } from './handler.ts';

const dayMilliseconds = 86_400_000;
const sweepInterval = 3_600_000;

export class TaskService {
  readonly #parts: ServiceParts;
  readonly #tracker = new Tracker();
  #sweeping: NodeJS.Timeout | undefined;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  get parseContext(): ParseContext {
    const { models, maxTasks } = this.#parts;
    const explainMissingModel = (air: string) => (models.find(air) ? undefined : models.explainMissing(air));
    return { maxTasks, explainMissingModel, explainAdapter: models.explainAdapter.bind(models) };
  }

  /** Begins to make images: first those that an earlier process left. */
  async start(): Promise<void> {
    const { tasks, inputs, queue, log } = this.#parts;
    const open = tasks.openResults();
    await inputs.keepOnly(new Set(tasks.openTasks()));
    await queue.restore(open);
    if (open.length > 0)
      log.info(`${open.length} images that were asked for before this start are made now.`);
    queue.start(createWork({ parts: this.#parts, tracker: this.#tracker }));
    this.#sweep();
    this.#sweeping = setInterval(() => this.#sweep(), sweepInterval);
    this.#sweeping.unref();
  }

  /** Everything there is to say about a task, each as soon as it is known. Never throws. */
  async *perform({ task, wire }: ValidTask, caller: Caller): AsyncGenerator<Reply> {
    const handle = handlers[task.taskType] as Handler<Task>;
    const { metrics } = this.#parts;
    let outcome: TaskOutcome = 'success';
    try {
      for await (const reply of handle(task, { parts: this.#parts, tracker: this.#tracker, caller, wire })) {
        if ('failure' in reply) outcome = 'failure';
        yield reply;
      }
      // One that was accepted ends with its last image, see settle.
      if (task.taskType !== 'imageInference') metrics.taskEnded(task.taskType, outcome);
    } catch (error) {
      metrics.taskEnded(task.taskType, 'failure');
      const { taskType, taskUUID } = task;
      const place = { taskType, ...(taskUUID === undefined ? {} : { taskUUID }) };
      const errors = error instanceof AggregateError ? error.errors : [error];
      for (const each of errors) yield { failure: toFailure(each, place, this.#parts.log) };
    }
  }

  /** Tells everyone who waits that this server makes no more; what is accepted is made after the next start. */
  close(): void {
    clearInterval(this.#sweeping);
    this.#tracker.close();
  }

  #sweep(): void {
    const { uploads, uploadDays, log } = this.#parts;
    uploads.sweep(Date.now() - uploadDays * dayMilliseconds).then(
      (count) => count > 0 && log.info(`${count} uploads were removed: not used for ${uploadDays} days.`),
      (error) => log.warn('Old uploads stay behind.', { error }),
    );
  }
}
