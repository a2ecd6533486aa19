import { failure } from '../../api/errors.ts';
import type { Reply } from '../../api/results.ts';
import type { CancelTaskTask } from '../../api/tasks/cancel-task.ts';
import type { Context } from '../handler.ts';
import { findTask } from '../results/lookup.ts';
import { settle } from '../results/settle.ts';

/** The results are settled at once; the engine leaves the one it is at after its step. */
export function* cancelTask({ taskUUID }: CancelTaskTask, context: Context): Generator<Reply> {
  const { parts, tracker, caller } = context;
  const uuid = taskUUID.toLowerCase();
  const answer = (cancelledResults: number): Reply => ({
    item: { taskType: 'cancelTask', taskUUID, cancelledResults },
  });
  const expected = tracker.cancelClaim(uuid, caller.account);
  if (expected !== undefined) {
    yield answer(expected);
    return;
  }
  const task = findTask(taskUUID, 'cancelTask', context);
  const cancelled = failure('taskCancelled', 'The task was cancelled before its image was finished.', {
    taskType: task.type,
    taskUUID: task.terms.taskUUID,
  });
  // What is made is not taken back, also while it is being uploaded.
  const open = parts.tasks
    .results(uuid)
    .filter(({ item, failure, made }) => item === null && failure === null && made === null);
  const settled = open.filter((result) => settle(task, result.uuid, { failure: cancelled }, context));
  for (const result of open) parts.queue.cancel(result.uuid);
  yield answer(settled.length);
}
