/** How the results of a task are delivered: all that is left to know once its Plans are made. */

import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import type { Caller, ServiceParts } from './handler.ts';
import type { PlannedImage } from './plan.ts';

export type Terms = {
  /** As the client spelled it; clients match answers by it. */
  taskUUID: string;
  /** How whoever asked reaches this server. */
  publicUrl: string;
  outputType: ImageInferenceTask['outputType'];
  webhookURL?: string;
  uploadEndpoint?: string;
};

export function termsOf(
  task: ImageInferenceTask,
  _images: readonly PlannedImage[],
  { publicUrl }: Caller,
  _parts: ServiceParts,
): Terms {
  const { taskUUID, outputType, webhookURL, uploadEndpoint } = task;
  return {
    taskUUID,
    publicUrl,
    outputType,
    ...(webhookURL === undefined ? {} : { webhookURL }),
    ...(uploadEndpoint === undefined ? {} : { uploadEndpoint }),
  };
}
