/** The items and the envelope of an answer. Each task type declares its own items, as `result` in api/tasks/. */

import type { ErrorObject, Failure } from './errors.ts';
import type { Output } from './schema.ts';
import type { TaskName, taskTypes } from './tasks/index.ts';

/** The item that answers a task of this type. */
export type ResultOf<Name extends TaskName> = Output<(typeof taskTypes)[Name]['result']>;

export type ImageItem = ResultOf<'imageInference'>;
/** An element of modelSearch's `results`; unknown properties are omitted. */
export type FoundModel = ResultOf<'modelSearch'>['results'][number];

/** Acknowledges a task whose results are polled or sent to its webhook. */
type AcceptedItem = Pick<ImageItem, 'taskType' | 'taskUUID'>;

/** A finished image in the answer to getResponse. */
type SuccessItem = ImageItem & { status: 'success' };

export type Item = { [Name in TaskName]: ResultOf<Name> }[TaskName] | AcceptedItem | SuccessItem;

/** One answer about a task: an item or an error. */
export type Reply = { item: Item } | { failure: Failure };

/**
 * The answer about one image that carries the image itself. It is read when the answer is written, so that answers which
 * wait for a slow client hold no images in memory.
 */
type LateReply = { imageUUID: string; read(): Promise<Reply> };

export type PendingReply = Reply | LateReply;

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
