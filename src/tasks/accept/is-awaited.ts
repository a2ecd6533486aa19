import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { Caller } from '../handlers/handler.ts';

/**
 * Whether the client waits for the results, instead of an acknowledgement. A webhook replaces the answer of an HTTP
 * request. Over a WebSocket a sync task is pushed its results all the same: the SDKs for it collect items with an
 * imageUUID, and wait until their time limit for those that an acknowledgement stands for.
 */
export function isAwaited(
  { deliveryMethod, webhookURL }: Pick<ImageInferenceTask, 'deliveryMethod' | 'webhookURL'>,
  { session }: Pick<Caller, 'session'>,
): boolean {
  return deliveryMethod === 'sync' && (webhookURL === undefined || session !== undefined);
}
