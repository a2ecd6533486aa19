/** The function that performs tasks of one type, and its caller. */

import type { PendingReply } from '../../api/results.ts';
import type { WireObject } from '../../api/task-type.ts';
import type { Follower } from '../follower.ts';

/** The client that sent the task. */
export type Caller = {
  /** Owner of tasks and images; other accounts do not see them. */
  account: string;
  /** Start of the URLs that this client can reach, without a slash at the end. */
  publicUrl: string;
  /** Session of the connection, over a WebSocket: its client receives the results, now or after it reconnects. */
  session?: string;
  /** Aborts when the client disconnects. An accepted task continues. */
  signal: AbortSignal;
  /** Gets the events of the task's images while the client waits for them. */
  follower?: Follower;
  /** Whether the connection is kept alive during the wait, so that the wait has no time limit. */
  patient?: boolean;
  /**
   * Whether the client cannot read a partly finished batch: a poll then shows all images as `processing` until all are
   * done.
   */
  wholePolls?: boolean;
};

/** `wire` is the task as the client wrote it. */
export type Call = { caller: Caller; wire: WireObject };

/**
 * Every answer to a task, each as soon as it is known. Errors thrown become failures. `Uses` are the parts of the server
 * that this type of task needs.
 */
export type Handler<Task, Uses> = (
  task: Task,
  call: Call,
  uses: Uses,
) => AsyncIterable<PendingReply> | Iterable<PendingReply>;
