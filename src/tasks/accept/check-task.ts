/** Checks that need more than the request: the tasks accepted before, and the addresses that this server may call. */

import { apiError, type ErrorPlace } from '../../api/errors.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import { codeOf } from '../../api/validate.ts';
import { RetouchError } from '../../error.ts';
import { checkUrl, type FetchLimits } from '../../net/fetch.ts';
import type { TaskStore } from '../../store/tasks.ts';
import type { Tracker } from '../results/tracker.ts';

/** Throws `conflictTaskUUID`. Tasks of other accounts do not count, so that their UUIDs stay secret. */
export function refuseRepeat(
  { taskType, taskUUID }: ImageInferenceTask,
  account: string,
  { tasks, tracker }: { tasks: TaskStore; tracker: Tracker },
): void {
  if (!tracker.claimed({ account, taskUUID }) && !tasks.find(account, taskUUID.toLowerCase())) return;
  const message = `A task with the taskUUID ${taskUUID} was accepted before; expected a new one. getResponse has its results.`;
  throw apiError('conflictTaskUUID', message, { parameter: 'taskUUID', taskType, taskUUID });
}

/** Throws `invalidWebhookURL`, `invalidUploadEndpoint` for an address that this server must not call. */
export async function checkReceivers(
  task: ImageInferenceTask,
  limits: Omit<FetchLimits, 'maxBytes'>,
): Promise<void> {
  for (const parameter of ['webhookURL', 'uploadEndpoint'] as const) {
    const url = task[parameter];
    if (url === undefined) continue;
    await checkUrl(url, limits).catch((error: Error) => {
      const message = `Invalid value for '${parameter}': ${error.message}`;
      throw parameterError(codeOf('invalid', [parameter]), message, { parameter, type: 'string' });
    });
  }
}

function parameterError(code: string, message: string, place: ErrorPlace): RetouchError {
  return new RetouchError(code, message, { failure: { status: 400, error: { code, message, ...place } } });
}
