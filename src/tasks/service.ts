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
import { Tracker } from './tracker.ts';
import { createWork } from './worker.ts';

export type { Caller, ServiceParts } from './handler.ts';

export class TaskService {
  readonly #parts: ServiceParts;
  readonly #tracker = new Tracker();

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
  }

  /** Everything there is to say about a task, each as soon as it is known. Never throws. */
  async *perform({ task, wire }: ValidTask, caller: Caller): AsyncGenerator<Reply> {
    const handle = handlers[task.taskType] as Handler<Task>;
    try {
      yield* handle(task, { parts: this.#parts, tracker: this.#tracker, caller, wire });
    } catch (error) {
      const { taskType, taskUUID } = task;
      const place = { taskType, ...(taskUUID === undefined ? {} : { taskUUID }) };
      const errors = error instanceof AggregateError ? error.errors : [error];
      for (const each of errors) yield { failure: toFailure(each, place, this.#parts.log) };
    }
  }

  /** Tells everyone who waits that this server makes no more; what is accepted is made after the next start. */
  close(): void {
    this.#tracker.close();
  }
}
