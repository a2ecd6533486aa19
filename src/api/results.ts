/** The items and the envelope of an answer. */

import type { ErrorObject, Failure } from './errors.ts';

export type ImageItem = {
  taskType: 'imageInference';
  taskUUID: string;
  imageUUID: string;
  imageURL?: string;
  imageBase64Data?: string;
  imageDataURI?: string;
  seed: bigint;
  cost?: number;
};

export type PongItem = { taskType: 'ping'; taskUUID?: string; pong: true };
export type AuthenticationItem = { taskType: 'authentication'; connectionSessionUUID: string };
export type Item = ImageItem | PongItem | AuthenticationItem;

/** One thing said about a task: a result or an error. */
export type Reply = { item: Item } | { failure: Failure };

export type Envelope = {
  data: Item[];
  errors?: ErrorObject[];
  /** The first of `errors`: some clients read only this. */
  error?: ErrorObject;
};

/**
 * Success is 200 without any `errors` key, since clients take the key for a failure; success in part is 200 with both;
 * no success at all has the status of the first error.
 */
export function toEnvelope(replies: readonly Reply[]): { status: number; body: Envelope } {
  const data = replies.flatMap((reply) => ('item' in reply ? [reply.item] : []));
  const failures = replies.flatMap((reply) => ('failure' in reply ? [reply.failure] : []));
  const [first] = failures;
  if (first === undefined) return { status: 200, body: { data } };
  const errors = failures.map(({ error }) => error);
  return { status: data.length > 0 ? 200 : first.status, body: { data, errors, error: first.error } };
}
