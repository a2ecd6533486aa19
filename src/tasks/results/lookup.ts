/** Finding a task by the UUID that a client gave. */

import { apiError } from '../../api/errors.ts';
import { parseJson } from '../../api/json.ts';
import type { StoredTask, TaskStore } from '../../store/tasks.ts';
import type { Caller } from '../handlers/handler.ts';
import type { Terms } from './terms.ts';

export type KnownTask = Omit<StoredTask, 'terms'> & { terms: Terms };

/** Throws `taskNotFound`, also for another account's task. */
export function findTask(
  { taskUUID, taskType }: { taskUUID: string; taskType: string },
  { account }: Pick<Caller, 'account'>,
  tasks: TaskStore,
): KnownTask {
  const task = tasks.find(account, taskUUID.toLowerCase());
  if (task) return knownTask(task);
  const message = `There is no task with the taskUUID ${taskUUID}; results are kept for a limited time.`;
  throw apiError('taskNotFound', message, { parameter: 'taskUUID', taskType, taskUUID });
}

export function knownTask(task: StoredTask): KnownTask {
  return { ...task, terms: parseJson(task.terms) as Terms };
}
