/** What performs a task of one type, and what it has at hand. */

import type { Reply } from '../api/results.ts';
import type { WireObject } from '../api/task-type.ts';
import type { Log } from '../log.ts';
import type { Queue } from '../queue/queue.ts';
import type { DeliveryStore } from '../store/deliveries.ts';
import type { InputStore } from '../store/inputs.ts';
import type { KeyStore } from '../store/keys.ts';
import type { ModelStore } from '../store/models.ts';
import type { SessionResults } from '../store/session-results.ts';
import type { TaskStore } from '../store/tasks.ts';
import type { UsageStore } from '../store/usage.ts';
import type { Outbox } from './deliveries/outbox.ts';
import type { Follower } from './follower.ts';
import type { Sources } from './inputs/image-source.ts';
import type { Pace } from './metrics/pace.ts';
import type { TaskMetrics } from './metrics/task-metrics.ts';
import type { Arithmetic } from './plan/plan.ts';
import type { Tracker } from './results/tracker.ts';
import type { ImageEngine } from './run-plan.ts';

export type WebhookStyle = {
  /** `{"data":[item]}` or the item itself. */
  body: 'wrapped' | 'flat';
  /** Empty: not signed. */
  secret: string;
};

export type ServiceParts = Sources & {
  tasks: TaskStore;
  sessionResults: SessionResults;
  usage: UsageStore;
  keys: Pick<KeyStore, 'list'>;
  metrics: TaskMetrics;
  pace: Pace;
  inputs: InputStore;
  queue: Queue;
  deliveries: DeliveryStore;
  outbox: Outbox;
  webhook: WebhookStyle;
  engine: ImageEngine;
  models: ModelStore;
  arithmetic: Arithmetic;
  maxTasks: number;
  /** Images of one account that wait or are made; 0 is no limit. */
  keyLimit: number;
  /** Milliseconds that a sync task is waited for. */
  syncTimeout: number;
  /** Milliseconds for which results and pictures are kept after their last use. */
  retention: number;
  log: Log;
};

/** Who asked. */
export type Caller = {
  /** Tasks belong to an account; other accounts do not see them. */
  account: string;
  /** Start of the URLs that this client can reach, without a slash at the end. */
  publicUrl: string;
  /** Of the connection, where there is one: its client is told the results, now or when it comes back. */
  session?: string;
  /** Fires when nobody waits for the answer any more. What was accepted goes on. */
  signal: AbortSignal;
  /** Hears how the images of its task are made, while it waits for them. */
  follower?: Follower;
};

export type Context = {
  parts: ServiceParts;
  tracker: Tracker;
  caller: Caller;
  /** The task as the client wrote it. */
  wire: WireObject;
};

/** Everything there is to say about a task, each as soon as it is known. What it throws becomes failures. */
export type Handler<T> = (task: T, context: Context) => AsyncIterable<Reply> | Iterable<Reply>;
