/** The results of a sync task, each as soon as it is known. */

import { failure } from '../../api/errors.ts';
import type { Reply } from '../../api/results.ts';
import type { Context } from '../handler.ts';
import { showResult } from './outcome.ts';
import type { Terms } from './terms.ts';

type AwaitedTask = Pick<Terms, 'taskUUID' | 'outputType'> & { taskType: string };

/**
 * `told` are results that need no word any more. Ends when all is said, with `failedTaskTimeout` at the deadline (in
 * `performance.now()`), with `serverUnavailable` when the server shuts down, and without a word when the caller has gone.
 * The task goes on in each case.
 */
export async function* awaitResults(
  task: AwaitedTask,
  deadline: number,
  { parts, tracker, caller }: Pick<Context, 'parts' | 'tracker' | 'caller'>,
  told: Set<string> = new Set(),
): AsyncGenerator<Reply> {
  const { taskType, taskUUID } = task;
  const uuid = taskUUID.toLowerCase();
  const failures = new Set<string>();
  const watch = tracker.watch(uuid);
  const wake = () => watch.wake();
  let isLate = false;
  // Not AbortSignal.timeout, whose timer stays until the deadline when the task has long been answered.
  const onDeadline = () => {
    isLate = true;
    wake();
  };
  const timer = setTimeout(onDeadline, Math.max(0, deadline - performance.now()));
  caller.signal.addEventListener('abort', wake);
  try {
    for (;;) {
      // Asked for before the look at the store, so that nothing falls between.
      const change = watch.next();
      const results = parts.tasks.results(uuid);
      for (const result of results.filter((result) => !told.has(result.uuid))) {
        const reply = await showResult(result, task, caller.publicUrl, parts);
        if (!reply) continue;
        told.add(result.uuid);
        if (!isRepeat(reply, failures)) yield reply;
      }
      if (told.size === results.length || caller.signal.aborted) return;
      const place = { taskType, taskUUID };
      if (tracker.closing.aborted) {
        const message =
          'The server is shutting down. The task goes on when it is back: getResponse has its results.';
        yield { failure: failure('serverUnavailable', message, place) };
        return;
      }
      if (isLate) {
        const limit = `longer than the ${parts.syncTimeout / 1000} s that a request may wait`;
        const message = `The task takes ${limit}. It goes on: getResponse has its results.`;
        yield { failure: failure('failedTaskTimeout', message, place) };
        return;
      }
      await change;
    }
  } finally {
    clearTimeout(timer);
    caller.signal.removeEventListener('abort', wake);
    watch.close();
  }
}

/** An error that befalls several images alike is said once. */
function isRepeat(reply: Reply, failures: Set<string>): boolean {
  if (!('failure' in reply)) return false;
  const { code, message } = reply.failure.error;
  const text = `${code} ${message}`;
  if (failures.has(text)) return true;
  failures.add(text);
  return false;
}
