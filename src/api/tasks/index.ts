/** The task types of the wire. A further one is a file beside this and a line in the table. */

import { type AccountManagementTask, accountManagement } from './account-management.ts';
import { type AuthenticationTask, authentication } from './authentication.ts';
import { type CancelTaskTask, cancelTask } from './cancel-task.ts';
import { type GetResponseTask, getResponse } from './get-response.ts';
import { type GetTaskDetailsTask, getTaskDetails } from './get-task-details.ts';
import { type ImageInferenceTask, imageInference } from './image-inference.ts';
import { type ImageUploadTask, imageUpload } from './image-upload.ts';
import { type MediaStorageTask, mediaStorage } from './media-storage.ts';
import { type ModelSearchTask, modelSearch } from './model-search.ts';
import { type PingTask, ping } from './ping.ts';

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
} as const;

export type TaskName = keyof typeof taskTypes;
export type Task =
  | AccountManagementTask
  | AuthenticationTask
  | CancelTaskTask
  | GetResponseTask
  | GetTaskDetailsTask
  | ImageInferenceTask
  | ImageUploadTask
  | MediaStorageTask
  | ModelSearchTask
  | PingTask;
