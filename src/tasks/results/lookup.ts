/** Finds a task by the client's UUID. */

import { apiError } from '../../api/errors.ts';
import type { StoredTask, TaskStore } from '../../store/tasks.ts';
import type { Caller } from '../handlers/handler.ts';
import { readStored } from './stored-json.ts';
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

/** Throws `databaseCorrupt`. */
export function knownTask(task: StoredTask): KnownTask {
  return { ...task, terms: readStored<Terms>(task.terms, 'a task') };
}

/** A task with undefined terms if they are damaged: its results can be settled, but not delivered. */
export function salvagedTask(task: StoredTask): KnownTask {
  try {
    return knownTask(task);
  } catch {
    const terms = { taskUUID: task.taskUUID, publicUrl: '', outputType: 'URL', includeCost: false } as const;
    return { ...task, terms };
  }
}
