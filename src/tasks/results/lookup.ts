/** Finding a task by the UUID that a client gave. */

import { apiError } from '../../api/errors.ts';
import { parseJson } from '../../api/json.ts';
import type { StoredTask } from '../../store/tasks.ts';
import type { Context } from '../handler.ts';
import type { Terms } from './terms.ts';

export type KnownTask = Omit<StoredTask, 'terms'> & { terms: Terms };

/** Throws `taskNotFound`, also for a task of someone else. */
export function findTask(taskUUID: string, taskType: string, { parts, caller }: Context): KnownTask {
  const task = parts.tasks.find(taskUUID.toLowerCase(), caller.account);
  if (task) return knownTask(task);
  const message = `There is no task with the taskUUID ${taskUUID}; results are kept for a limited time.`;
  throw apiError('taskNotFound', message, { parameter: 'taskUUID', taskType, taskUUID });
}

export function knownTask(task: StoredTask): KnownTask {
  return { ...task, terms: parseJson(task.terms) as Terms };
}
