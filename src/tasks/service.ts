/** What the server does with a valid Task: resolve → plan → queue → deliver. */

import { randomUUID } from 'node:crypto';
import { type ErrorPlace, failure } from '../api/errors.ts';
import type { ParseContext } from '../api/parse.ts';
import type { Reply } from '../api/results.ts';
import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import type { Task } from '../api/tasks/index.ts';
import type { EncodedImage } from '../engine/plan.ts';
import type { Log } from '../log.ts';
import type { Queue } from '../queue/queue.ts';
import type { ModelStore } from '../store/models.ts';
import { deliverImage } from './deliver.ts';
import type { Job } from './engine.ts';
import { toFailure } from './failures.ts';
import { type Arithmetic, makePlans } from './plan.ts';
import { resolveInputs, type Sources } from './resolve.ts';

export type ServiceParts = Sources & {
  models: ModelStore;
  queue: Queue<Job, EncodedImage>;
  arithmetic: Arithmetic;
  maxTasks: number;
  log: Log;
};

/** Who asked. */
export type Caller = {
  /** Start of the URLs that this client can reach. */
  publicUrl: string;
  /** Fires when nobody waits for the answer any more. */
  signal: AbortSignal;
};

export class TaskService {
  readonly #parts: ServiceParts;
  /** UUIDs of the tasks under way. */
  readonly #active = new Set<string>();

  constructor(parts: ServiceParts) {
    this.#parts = parts;
  }

  get parseContext(): ParseContext {
    const { models, maxTasks } = this.#parts;
    const explainMissingModel = (air: string) => (models.find(air) ? undefined : models.explainMissing(air));
    return { maxTasks, explainMissingModel, explainAdapter: models.explainAdapter.bind(models) };
  }

  /** Everything there is to say about a task, each as soon as it is known. Never throws. */
  async *perform(task: Task, caller: Caller): AsyncGenerator<Reply> {
    switch (task.taskType) {
      case 'ping': {
        const { taskUUID } = task;
        yield { item: { taskType: 'ping', ...(taskUUID === undefined ? {} : { taskUUID }), pong: true } };
        return;
      }
      case 'authentication':
        yield { item: { taskType: 'authentication', connectionSessionUUID: randomUUID() } };
        return;
      case 'imageInference':
        yield* this.#performOnce(task, caller);
    }
  }

  async *#performOnce(task: ImageInferenceTask, caller: Caller): AsyncGenerator<Reply> {
    const place = { taskType: task.taskType, taskUUID: task.taskUUID };
    const uuid = task.taskUUID.toLowerCase();
    if (this.#active.has(uuid)) {
      const message = `A task with the taskUUID ${task.taskUUID} is under way; expected a new one.`;
      yield { failure: failure('conflictTaskUUID', message, { parameter: 'taskUUID', ...place }) };
      return;
    }
    this.#active.add(uuid);
    try {
      yield* this.#infer(task, caller, place);
    } catch (error) {
      const errors = error instanceof AggregateError ? error.errors : [error];
      for (const each of errors) yield { failure: toFailure(each, place, this.#parts.log) };
    } finally {
      this.#active.delete(uuid);
    }
  }

  async *#infer(task: ImageInferenceTask, caller: Caller, place: ErrorPlace): AsyncGenerator<Reply> {
    const { models, queue, arithmetic, log } = this.#parts;
    const inputs = await resolveInputs(task, this.#parts, caller.signal);
    // The parser asked for it; models do not go away while the server runs.
    const model = models.find(task.model)!;
    const plans = makePlans(task, inputs, model, arithmetic, models);
    const replies = plans.map(async ({ plan, seed }): Promise<Reply> => {
      try {
        const image = await queue.push({ plan }, caller.signal);
        const target = { assets: this.#parts.assets, publicUrl: caller.publicUrl };
        return { item: await deliverImage(task, seed, image, target) };
      } catch (error) {
        return { failure: toFailure(error, place, log) };
      }
    });
    yield* withoutRepeats(replies);
  }
}

/** Results in the order of their seeds. An error that befalls several of them alike is said once. */
async function* withoutRepeats(replies: Promise<Reply>[]): AsyncGenerator<Reply> {
  const said = new Set<string>();
  for (const pending of replies) {
    const reply = await pending;
    if ('failure' in reply) {
      const { code, message } = reply.failure.error;
      if (said.has(`${code} ${message}`)) continue;
      said.add(`${code} ${message}`);
    }
    yield reply;
  }
}
