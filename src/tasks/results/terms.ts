/** The terms of delivery of a task's results: the part of the request that is needed after planning. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { Price } from '../../store/manifest.ts';
import type { Caller } from '../handlers/handler.ts';

export type Terms = {
  /** As the client spelled it; clients match answers by it. */
  taskUUID: string;
  /** Start of the URLs by which the client reaches this server. */
  publicUrl: string;
  outputType: ImageInferenceTask['outputType'];
  webhookURL?: string;
  uploadEndpoint?: string;
  /** Seconds after which the image is deleted; only with output type URL. */
  ttl?: number;
  /** The model's price when the task was accepted; without one an image costs nothing. */
  price?: Price;
  /** Whether the answer has the cost. */
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
