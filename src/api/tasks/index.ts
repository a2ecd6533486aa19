/** The task types of the wire. A further one is a file beside this, a line in the table, and its handler. */

import type { Infer } from '../schema.ts';
import { accountManagement } from './account-management.ts';
import { authentication } from './authentication.ts';
import { cancelTask } from './cancel-task.ts';
import { getResponse } from './get-response.ts';
import { getTaskDetails } from './get-task-details.ts';
import { imageInference } from './image-inference.ts';
import { imageUpload } from './image-upload.ts';
import { mediaStorage } from './media-storage.ts';
import { modelSearch } from './model-search.ts';
import { ping } from './ping.ts';
import { watchTask } from './watch-task.ts';

export const taskTypes = {
  accountManagement,
  authentication,
  cancelTask,
  getResponse,
  getTaskDetails,
  imageInference,
  imageUpload,
  mediaStorage,
  modelSearch,
  ping,
  watchTask,
} as const;

export type TaskName = keyof typeof taskTypes;
/** A valid task of this type. */
export type TaskOf<Name extends TaskName> = Infer<(typeof taskTypes)[Name]['schema']>;
export type Task = { [Name in TaskName]: TaskOf<Name> }[TaskName];
