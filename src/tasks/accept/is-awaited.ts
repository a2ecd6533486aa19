import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { Caller } from '../handlers/handler.ts';

/**
 * Whether the client waits for the results, instead of an acknowledgement. A webhook replaces the answer of an HTTP
 * request. Over a WebSocket a sync task still gets its results pushed: the SDKs wait for items with an imageUUID until
 * their time limit, and an acknowledgement has none.
 */
export function isAwaited(
  { deliveryMethod, webhookURL }: Pick<ImageInferenceTask, 'deliveryMethod' | 'webhookURL'>,
  { session }: Pick<Caller, 'session'>,
): boolean {
  return deliveryMethod === 'sync' && (webhookURL === undefined || session !== undefined);
}
