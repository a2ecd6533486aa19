/** How the results of a task are delivered: all that is left to know once its Plans are made. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { Price } from '../../store/manifest.ts';
import type { Caller } from '../handler.ts';

export type Terms = {
  /** As the client spelled it; clients match answers by it. */
  taskUUID: string;
  /** How whoever asked reaches this server. */
  publicUrl: string;
  outputType: ImageInferenceTask['outputType'];
  webhookURL?: string;
  uploadEndpoint?: string;
  /** Seconds after which the picture goes; only pictures that are answered by URL have one. */
  ttl?: number;
  /** When the task was accepted; a model without one costs nothing. */
  price?: Price;
  /** Whether the client wants to hear of it. */
  includeCost: boolean;
};

export function termsOf(task: ImageInferenceTask, { publicUrl }: Caller, price: Price | undefined): Terms {
  const { taskUUID, outputType, webhookURL, uploadEndpoint, ttl, includeCost } = task;
  return {
    taskUUID,
    publicUrl,
    outputType,
    ...(webhookURL === undefined ? {} : { webhookURL }),
    ...(uploadEndpoint === undefined ? {} : { uploadEndpoint }),
    ...(ttl === undefined || outputType !== 'URL' ? {} : { ttl }),
    ...(price === undefined ? {} : { price }),
    includeCost,
  };
}
