/**
 * Accepts tasks: the commit comes before the acknowledgement, and from the commit on the server guarantees one outcome
 * per image.
 */

import { randomUUID } from 'node:crypto';
import { apiError } from '../../api/errors.ts';
import { stringifyJson } from '../../api/json.ts';
import type { WireObject } from '../../api/task-type.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { EnginePool } from '../../engine/engine.ts';
import type { Queue } from '../../queue/queue.ts';
import type { InputStore } from '../../store/inputs.ts';
import type { Lifetimes } from '../../store/lifetimes.ts';
import type { ModelStore } from '../../store/models.ts';
import type { NewResult, TaskStore } from '../../store/tasks.ts';
import type { UsageStore } from '../../store/usage.ts';
import type { Call } from '../handlers/handler.ts';
import type { PlannedImage } from '../plan/plan.ts';
import { writePlan } from '../plan/plan-json.ts';
import { termsOf } from '../results/terms.ts';
import { isAwaited } from './is-awaited.ts';

export type AcceptanceOptions = {
  tasks: TaskStore;
  inputs: InputStore;
  queue: Queue;
  usage: UsageStore;
  models: Pick<ModelStore, 'find'>;
  engines: Pick<EnginePool, 'needsOf'>;
  lifetimes: Pick<Lifetimes, 'bytesOf'>;
  /** Images of one account that may wait or run; 0 is no limit. */
  keyLimit: number;
  /** Most bytes of stored images of one account; undefined is no limit. */
  quota: number | undefined;
};

export class Acceptance {
  readonly #options: AcceptanceOptions;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
  }

  /**
   * Writes task, results, jobs and usage in one commit. `uuid` is the server's id of the task. Throws `queueFull`,
   * `rateLimitExceeded`, `storageLimitExceeded` and the codes of the stores; then nothing of the task is kept.
   */
  async accept(
    task: ImageInferenceTask,
    images: readonly PlannedImage[],
    { caller, wire, uuid, signal }: Call & { uuid: string; signal: AbortSignal },
  ): Promise<void> {
    const { tasks, inputs, queue, usage, models, engines } = this.#options;
    const { account } = caller;
    const files: Uint8Array[] = [];
    const results = images.map(
      ({ plan, seed, warnings }): NewResult => ({
        uuid: randomUUID(),
        seed: seed.toString(),
        plan: writePlan(plan, files),
        warnings,
      }),
    );
    // Checked before anything is written, and again inside the transaction, because other tasks are accepted during the
    // write.
    this.#refuseExcess(images.length, account);
    await inputs.write(uuid, files);
    const stored = {
      uuid,
      taskUUID: task.taskUUID.toLowerCase(),
      account,
      type: task.taskType,
      request: stringifyJson(withoutImages(wire)),
      terms: stringifyJson(termsOf(task, caller, models.find(task.model)?.price)),
    };
    // No fsync for a sync task: its client is still connected and notices a power failure itself.
    const awaited = isAwaited(task, caller);
    const jobs = results.map((result) => result.uuid);
    const record = () => {
      this.#refuseExcess(images.length, account);
      tasks.add(stored, results, awaited ? caller.session : undefined);
      usage.note(account, { tasks: 1 });
    };
    const withdraw = (error: Error): never => {
      for (const job of jobs) queue.cancel(job);
      tasks.remove(uuid);
      usage.note(account, { tasks: -1 });
      throw error;
    };
    const flush = () => tasks.flush().catch(withdraw);
    try {
      signal.throwIfAborted();
      // The plans of a task differ only in their seeds.
      const needs = engines.needsOf(images[0]!.plan);
      await queue.push(jobs, { account, needs, record, ...(awaited ? {} : { flush }) });
    } catch (error) {
      await inputs.remove(uuid);
      throw error;
    }
  }

  #refuseExcess(asked: number, account: string): void {
    const { keyLimit, tasks, lifetimes, quota } = this.#options;
    const stored = quota === undefined ? 0 : lifetimes.bytesOf(account);
    if (quota !== undefined && stored >= quota) {
      const message = `This key has ${stored} bytes of stored images; expected fewer than ${quota}. Delete some with mediaStorage.`;
      throw apiError('storageLimitExceeded', message);
    }
    if (keyLimit === 0) return;
    const open = tasks.countOpen(account);
    if (open + asked <= keyLimit) return;
    const message = `This key has ${open} images that wait or are made, and asks for ${asked} more; expected at most ${keyLimit} at once.`;
    throw apiError('rateLimitExceeded', message);
  }
}

/** Characters after which getTaskDetails cuts a string of the request. */
const maxCharacters = 4096;

/** Cuts long strings: encoded images of the request would fill the database, and the client has them. */
function withoutImages(wire: unknown): unknown {
  if (typeof wire === 'string' && wire.length > maxCharacters)
    return `${wire.slice(0, 60)}… (${wire.length} characters)`;
  if (Array.isArray(wire)) return wire.map(withoutImages);
  if (typeof wire !== 'object' || wire === null) return wire;
  const entries = Object.entries(wire as WireObject);
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutImages(value)]));
}
