/** Waits for the results of a sync task and yields each as soon as possible. */

import { failure } from '../../api/errors.ts';
import type { PendingReply } from '../../api/results.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { TaskStore } from '../../store/tasks.ts';
import type { Caller } from '../handlers/handler.ts';
import { offerResult } from './outcome.ts';
import type { Terms } from './terms.ts';
import type { Tracker } from './tracker.ts';

export type Awaited = Pick<Terms, 'taskUUID' | 'outputType'> & {
  /** The server's own id of the task. */
  uuid: string;
  taskType: string;
  /** Results that the client has received before. */
  received?: readonly string[];
  /** In `performance.now()`. */
  deadline: number;
};

export type WaitOptions = {
  tasks: TaskStore;
  assets: AssetStore;
  tracker: Tracker;
  /** Milliseconds that a client waits for a sync task. */
  syncTimeout: number;
};

/**
 * Over a connection session each result comes when it is settled; over HTTP they come in the order of the seeds,
 * although several engines may finish them in another order. Ends after the last result, with `failedTaskTimeout` at
 * the deadline, with `serverUnavailable` when the server shuts down, and silently when the client disconnects. The task
 * continues in each case.
 */
export async function* awaitResults(
  task: Awaited,
  { publicUrl, signal, session }: Pick<Caller, 'publicUrl' | 'signal' | 'session'>,
  { tasks, assets, tracker, syncTimeout }: WaitOptions,
): AsyncGenerator<PendingReply> {
  const { uuid, taskType, taskUUID, outputType, deadline } = task;
  const told = new Set(task.received);
  const failures = new Set<string>();
  const watch = tracker.watch(uuid);
  const wake = () => watch.wake();
  let isLate = false;
  // Not AbortSignal.timeout: its timer would live until the deadline, long after the answer.
  const onDeadline = () => {
    isLate = true;
    wake();
  };
  const timer = setTimeout(onDeadline, Math.max(0, deadline - performance.now()));
  signal.addEventListener('abort', wake);
  try {
    for (;;) {
      // Subscribes before it reads the store, so that no change is missed.
      const change = watch.next();
      const results = tasks.results(uuid);
      for (const result of results.filter((result) => !told.has(result.uuid))) {
        const reply = await offerResult(result, { outputType, publicUrl }, assets);
        if (!reply) {
          if (session !== undefined || isLate || tracker.closing.aborted) continue;
          break;
        }
        told.add(result.uuid);
        if (!isRepeat(reply, failures)) yield reply;
      }
      if (told.size === results.length || signal.aborted) return;
      const place = { taskType, taskUUID };
      if (tracker.closing.aborted) {
        const message =
          'The server is shutting down. The task goes on when it is back: getResponse has its results.';
        yield { failure: failure('serverUnavailable', message, place) };
        return;
      }
      if (isLate) {
        const limit = `longer than the ${syncTimeout / 1000} s that a request may wait`;
        const message = `The task takes ${limit}. It goes on: getResponse has its results.`;
        yield { failure: failure('failedTaskTimeout', message, place) };
        return;
      }
      await change;
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', wake);
    watch.close();
  }
}

/** An error that several images share is reported once. */
function isRepeat(reply: PendingReply, failures: Set<string>): boolean {
  if (!('failure' in reply)) return false;
  const { code, message } = reply.failure.error;
  const text = `${code} ${message}`;
  if (failures.has(text)) return true;
  failures.add(text);
  return false;
}
