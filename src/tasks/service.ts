/**
 * Performs a valid Task of any transport with the handler of its type. The queue's worker makes the images, whether or
 * not a client waits.
 */

import type { Failure } from '../api/errors.ts';
import type { ParseContext, ValidTask } from '../api/parse.ts';
import type { PendingReply, Reply } from '../api/results.ts';
import type { Task } from '../api/tasks/index.ts';
import type { Failures } from './failures.ts';
import type { Caller, Handler } from './handlers/handler.ts';
import { type HandlerUses, handlers } from './handlers/index.ts';
import type { Pace } from './metrics/pace.ts';
import type { TaskMetrics, TaskOutcome } from './metrics/task-metrics.ts';
import type { Resumption } from './results/resumption.ts';

export type { Caller } from './handlers/handler.ts';

export type TaskServiceOptions = {
  uses: HandlerUses;
  resumption: Resumption;
  metrics: TaskMetrics;
  pace: Pace;
  /** Most tasks of one request. */
  maxTasks: number;
  failures: Failures;
};

export class TaskService {
  readonly #options: TaskServiceOptions;
  readonly resumption: Resumption;

  constructor(options: TaskServiceOptions) {
    this.#options = options;
    this.resumption = options.resumption;
  }

  get parseContext(): ParseContext {
    const { maxTasks, uses } = this.#options;
    const { models } = uses;
    const explainMissingModel = (air: string) => (models.find(air) ? undefined : models.explainMissing(air));
    return {
      maxTasks,
      sizesOf: (air) => models.find(air)?.sizes,
      explainMissingModel,
      explainAdapter: models.explainAdapter.bind(models),
    };
  }

  /** Every answer to a task, each as soon as it is known. Never throws. */
  async *perform({ task, wire }: ValidTask, caller: Caller): AsyncGenerator<PendingReply> {
    const { taskType, taskUUID } = task;
    const { uses, metrics, failures } = this.#options;
    const handle = handlers[taskType] as Handler<Task, HandlerUses>;
    const place = { taskType, ...(taskUUID === undefined ? {} : { taskUUID }) };
    let outcome: TaskOutcome = 'success';
    try {
      for await (const reply of handle(task, { caller, wire }, uses)) {
        if ('failure' in reply) outcome = 'failure';
        yield failures.guardRead(reply, place);
      }
      // An accepted task is counted when its last image is settled.
      if (taskType !== 'imageInference') metrics.taskEnded(taskType, outcome);
    } catch (error) {
      metrics.taskEnded(taskType, 'failure');
      const errors = error instanceof AggregateError ? error.errors : [error];
      for (const each of errors) yield { failure: failures.of(each, place) };
    }
  }

  /** The answer to a task that is not valid. */
  refuse(failures: readonly Failure[]): Reply[] {
    this.#options.metrics.taskRefused(failures);
    return failures.map((failure) => ({ failure }));
  }

  /** Seconds after which a task that found the queue full may find room. */
  get retryAfter(): number {
    const { pace, uses } = this.#options;
    return pace.retryAfter(uses.queue.depth);
  }

  /** Ends the wait of every client; accepted tasks resume at the next start. */
  close(): void {
    this.#options.uses.tracker.close();
    this.resumption.close();
  }
}
