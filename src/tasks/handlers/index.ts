/** The handler of each task type. To add one, add a file in this folder and a line in the table. */

import type { TaskName, TaskOf } from '../../api/tasks/index.ts';
import { accountManagement } from './account-management.ts';
import { authentication } from './authentication.ts';
import { cancelTask } from './cancel-task.ts';
import { getResponse } from './get-response.ts';
import { getTaskDetails } from './get-task-details.ts';
import type { Handler } from './handler.ts';
import { imageInference } from './image-inference.ts';
import { imageUpload } from './image-upload.ts';
import { mediaStorage } from './media-storage.ts';
import { modelSearch } from './model-search.ts';
import { ping } from './ping.ts';
import { watchTask } from './watch-task.ts';

export const handlers = {
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
} as const satisfies { [Name in TaskName]: Handler<TaskOf<Name>, never> };

/** The parts of the server that some handler needs. */
export type HandlerUses = (typeof handlers)[TaskName] extends (
  task: never,
  call: never,
  uses: infer Uses,
) => unknown
  ? Uses
  : never;
