import { failure } from '../../api/errors.ts';
import type { Reply } from '../../api/results.ts';
import type { CancelTaskTask } from '../../api/tasks/cancel-task.ts';
import type { Queue } from '../../queue/queue.ts';
import type { TaskStore } from '../../store/tasks.ts';
import { findTask } from '../results/lookup.ts';
import type { Settlement } from '../results/settlement.ts';
import type { Tracker } from '../results/tracker.ts';
import type { Call } from './handler.ts';

type Uses = { tasks: TaskStore; queue: Queue; settlement: Settlement; tracker: Tracker };

/** The results are settled at once; the engine stops after the step that it is computing. */
export function* cancelTask(
  { taskUUID, taskType }: CancelTaskTask,
  { caller }: Call,
  { tasks, queue, settlement, tracker }: Uses,
): Generator<Reply> {
  const answer = (cancelledResults: number): Reply => ({
    item: { taskType, taskUUID, cancelledResults },
  });
  const expected = tracker.cancelClaim({ account: caller.account, taskUUID });
  if (expected !== undefined) {
    yield answer(expected);
    return;
  }
  const task = findTask({ taskUUID, taskType }, caller, tasks);
  const cancelled = failure('taskCancelled', 'The task was cancelled before its image was finished.', {
    taskType: task.type,
    taskUUID: task.terms.taskUUID,
  });
  // A finished image stays, also during its upload.
  const open = tasks
    .results(task.uuid)
    .filter(({ item, failure, made }) => item === null && failure === null && made === null);
  const settled = open.filter(({ uuid }) => settlement.settle(task, { result: uuid, failure: cancelled }));
  for (const result of open) queue.cancel(result.uuid);
  yield answer(settled.length);
}
