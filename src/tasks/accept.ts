/** The moment from which a task is ours to finish: it is written down before anyone is told. */

import { randomUUID } from 'node:crypto';
import { apiError, type ErrorPlace } from '../api/errors.ts';
import { stringifyJson } from '../api/json.ts';
import type { WireObject } from '../api/task-type.ts';
import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import { codeOf } from '../api/validate.ts';
import { RetouchError } from '../error.ts';
import { checkUrl } from '../net.ts';
import type { NewResult } from '../store/tasks.ts';
import type { Context } from './handler.ts';
import type { PlannedImage } from './plan/plan.ts';
import { writePlan } from './plan/plan-json.ts';
import { termsOf } from './results/terms.ts';

/** Throws `conflictTaskUUID`. */
export function refuseRepeat({ taskType, taskUUID }: ImageInferenceTask, { parts, tracker }: Context): void {
  const uuid = taskUUID.toLowerCase();
  if (!tracker.isClaimed(uuid) && !parts.tasks.has(uuid)) return;
  const message = `A task with the taskUUID ${taskUUID} was accepted before; expected a new one. getResponse has its results.`;
  throw apiError('conflictTaskUUID', message, { parameter: 'taskUUID', taskType, taskUUID });
}

/** Throws `invalidWebhookURL`, `invalidUploadEndpoint` for a receiver to which this server sends nothing. */
export async function checkReceivers(task: ImageInferenceTask, { parts }: Context): Promise<void> {
  for (const parameter of ['webhookURL', 'uploadEndpoint'] as const) {
    const url = task[parameter];
    if (url === undefined) continue;
    await checkUrl(url, parts.fetch).catch((error: Error) => {
      const message = `Invalid value for '${parameter}': ${error.message}`;
      throw parameterError(codeOf('invalid', [parameter]), message, { parameter, type: 'string' });
    });
  }
}

/**
 * Task, results, jobs and use in one commit. Throws `queueFull`, `rateLimitExceeded`, and the codes of the stores; then
 * nothing is left of the task.
 */
export async function acceptTask(
  task: ImageInferenceTask,
  images: readonly PlannedImage[],
  signal: AbortSignal,
  { parts, caller, wire }: Context,
): Promise<void> {
  const { tasks, inputs, queue, usage } = parts;
  const uuid = task.taskUUID.toLowerCase();
  const files: Uint8Array[] = [];
  const results = images.map(
    ({ plan, seed }): NewResult => ({
      uuid: randomUUID(),
      seed: seed.toString(),
      plan: writePlan(plan, files),
    }),
  );
  refuseExcess(images.length, { parts, caller });
  await inputs.write(uuid, files);
  const stored = {
    uuid,
    account: caller.account,
    type: task.taskType,
    request: stringifyJson(withoutPictures(wire)),
    terms: stringifyJson(termsOf(task, caller, parts.models.find(task.model)?.price)),
    accepted: Date.now(),
  };
  // The client of a sync task is still there to see a power failure.
  const awaited = task.deliveryMethod === 'sync' && task.webhookURL === undefined;
  const jobs = results.map((result) => result.uuid);
  const record = () => {
    tasks.add(stored, results, awaited ? caller.session : undefined);
    usage.note(caller.account, { tasks: 1 });
  };
  const secure = () => tasks.flush().catch(withdraw);
  try {
    signal.throwIfAborted();
    await queue.push(jobs, awaited ? { record } : { record, secure });
  } catch (error) {
    await inputs.remove(uuid);
    throw error;
  }

  function withdraw(error: Error): never {
    for (const job of jobs) queue.cancel(job);
    tasks.remove(uuid);
    usage.note(caller.account, { tasks: -1 });
    throw error;
  }
}

function refuseExcess(asked: number, { parts, caller }: Pick<Context, 'parts' | 'caller'>): void {
  const { keyLimit, tasks } = parts;
  if (keyLimit === 0) return;
  const open = tasks.countOpen(caller.account);
  if (open + asked <= keyLimit) return;
  const message = `This key has ${open} images that wait or are made, and asks for ${asked} more; expected at most ${keyLimit} at once.`;
  throw apiError('rateLimitExceeded', message);
}

function parameterError(code: string, message: string, place: ErrorPlace): RetouchError {
  return new RetouchError(code, message, { failure: { status: 400, error: { code, message, ...place } } });
}

/** Longest string of a request that is kept for getTaskDetails. */
const maxCharacters = 4096;

/** A picture in the request would be kept for a month for nobody. */
function withoutPictures(wire: unknown): unknown {
  if (typeof wire === 'string' && wire.length > maxCharacters)
    return `${wire.slice(0, 60)}… (${wire.length} characters)`;
  if (Array.isArray(wire)) return wire.map(withoutPictures);
  if (typeof wire !== 'object' || wire === null) return wire;
  const entries = Object.entries(wire as WireObject);
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutPictures(value)]));
}
