/** The task types of the wire. A further one is a file beside this and a line in the table. */

import { type AuthenticationTask, authentication } from './authentication.ts';
import { type ImageInferenceTask, imageInference } from './image-inference.ts';
import { type PingTask, ping } from './ping.ts';

export const taskTypes = {
  authentication,
  imageInference,
  ping,
} as const;

export type TaskName = keyof typeof taskTypes;
export type Task = AuthenticationTask | ImageInferenceTask | PingTask;
