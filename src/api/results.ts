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
  /** There only when the task asked for it. */
  NSFWContent?: boolean;
  cost?: number;
  /** Why the picture did not reach its uploadEndpoint; it is stored here all the same. */
  uploadError?: { code: string; message: string };
};

export type PongItem = { taskType: 'ping'; taskUUID?: string; pong: true };
export type AuthenticationItem = { taskType: 'authentication'; connectionSessionUUID: string };

/** That a task was accepted; its results are polled for or sent to its webhook. */
export type AcceptedItem = { taskType: 'imageInference'; taskUUID: string };

/** In answers to getResponse. The UUID is the one that the image will have. */
export type ProcessingItem = {
  taskType: string;
  taskUUID: string;
  status: 'processing';
  imageUUID?: string;
  /** 0 to 100. */
  progress: number;
};
export type SuccessItem = ImageItem & { status: 'success' };

export type TaskDetailsItem = {
  taskType: 'getTaskDetails';
  taskUUID: string;
  request: unknown[];
  response: { data?: Item[]; errors?: ErrorObject[] };
};

export type CancelItem = {
  taskType: 'cancelTask';
  taskUUID: string;
  /** Images that will not be made; those made before stay. */
  cancelledResults: number;
};

export type ImageUploadItem = {
  taskType: 'imageUpload';
  taskUUID: string;
  imageUUID: string;
  imageURL: string;
};

export type MediaStorageItem = {
  taskType: 'mediaStorage';
  taskUUID: string;
  operation: 'upload' | 'delete';
  mediaUUID: string;
  mediaURL?: string;
};

export type ModelSearchItem = {
  taskType: 'modelSearch';
  taskUUID: string;
  totalResults: number;
  results: FoundModel[];
};

/** A model or an adapter; what is not known of it is left out. */
export type FoundModel = {
  name: string;
  air: string;
  version: string;
  category: string;
  type?: string;
  architecture: string;
  tags: string[];
  private: boolean;
  comment: string;
  defaultWidth?: number;
  defaultHeight?: number;
  defaultSteps?: number;
  defaultCFG?: number;
  defaultScheduler?: string;
};

export type AccountItem = {
  taskType: 'accountManagement';
  taskUUID: string;
  operation: 'getDetails';
  organizationUUID: string;
  organizationName: string;
  AIRSource: string;
  balance: number;
  team: never[];
  apiKeys: { name: string; enabled: boolean; createdAt: string; lastUsedAt?: string }[];
  usage: Record<'total' | 'today' | 'last7Days' | 'last30Days', UsageSpan> & { days: UsageDay[] };
};

/** Credits are dollars. */
export type UsageSpan = { credits: number; requests: number };
export type UsageDay = { date: string; tasks: number; images: number; computeSeconds: number; cost: number };

export type Item =
  | AccountItem
  | AcceptedItem
  | AuthenticationItem
  | CancelItem
  | ImageItem
  | ImageUploadItem
  | MediaStorageItem
  | ModelSearchItem
  | PongItem
  | ProcessingItem
  | SuccessItem
  | TaskDetailsItem;

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
