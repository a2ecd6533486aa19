/** The task types of the wire. A further one is a file beside this and a line in the table. */

import { type AuthenticationTask, authentication } from './authentication.ts';
import { type CancelTaskTask, cancelTask } from './cancel-task.ts';
import { type GetResponseTask, getResponse } from './get-response.ts';
import { type GetTaskDetailsTask, getTaskDetails } from './get-task-details.ts';
import { type ImageInferenceTask, imageInference } from './image-inference.ts';
import { type PingTask, ping } from './ping.ts';

export const taskTypes = {
  authentication,
  cancelTask,
  getResponse,
  getTaskDetails,
  imageInference,
  ping,
} as const;

export type TaskName = keyof typeof taskTypes;
export type Task =
  | AuthenticationTask
  | CancelTaskTask
  | GetResponseTask
  | GetTaskDetailsTask
  | ImageInferenceTask
  | PingTask;
