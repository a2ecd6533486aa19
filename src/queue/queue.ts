/**
 * Where Jobs wait for an engine. A job is the UUID of the image it makes; what is to be done stands in the task store.
 *
 * Every implementation runs a job at least once: it leaves the queue when its work is done, and a process that ends in
 * between leaves it there. That each image is made known exactly once is the worker's affair: it settles a result only
 * while it is open.
 */

export const queueErrors = {
  jobAborted: 'The job was cancelled before it was finished.',
  queueClosed: 'The queue was closed before the job was finished.',
  queueFull: 'The queue has as many jobs as it takes.',
} as const;

export type QueueErrorCode = keyof typeof queueErrors;

export type PushOptions = {
  /** Owner of the jobs: accounts take turns. */
  account?: string;
  /**
   * Writes the tasks of the jobs, once there is room for the jobs and before any of them runs; in the same transaction
   * as the jobs where the queue is in the database.
   */
  record?: () => void;
  /** Resolves when the record survives a power failure; no job of this push runs before. */
  flush?: () => Promise<void>;
};

export interface Queue {
  /**
   * Takes all of the jobs or none. Jobs of one account run in the order they came, and accounts take turns job by job,
   * also across restarts. A job that is in the queue already keeps its place. Rejects with `queueFull`, `queueClosed`, the code of the store or what the options throw; when `flush`
   * rejects, the jobs are in the queue all the same.
   */
  push(ids: readonly string[], options?: PushOptions): Promise<void>;
  /**
   * Takes jobs that an earlier process accepted, beyond the limit as well. A job during which that process died runs after
   * the others, so that one that kills the server does not keep the rest from running.
   */
  restore(jobs: readonly { id: string; account: string }[]): Promise<void>;
  /** Takes a waiting job out; the signal of a running one fires with `jobAborted`. */
  cancel(id: string): void;
  /** Begins to run jobs. */
  start(work: Work): void;
  /** To be called when there are more engines than before. */
  wake(): void;
  /** How many jobs run before this one; undefined for a job that is not in the queue. */
  position(id: string): number | undefined;
  /** Jobs waiting and running. */
  readonly depth: number;
  /** Resolves when nothing waits or runs. */
  idle(): Promise<void>;
  /** Runs no further job, and stops the running ones after `grace` milliseconds. What is not done stays for the next start. */
  close(grace?: number): Promise<void>;
}

/**
 * Resolves when the job is done, well or not. Rejects when it must be tried again: because its signal fired with
 * `queueClosed`, or because its end could not be written down. Must settle soon after its signal fires.
 */
export type Work = (id: string, turn: Turn) => Promise<void>;

export type Turn = {
  attempt: number;
  signal: AbortSignal;
  /** Tells that the job's engine is free for another one; without it that is when the work settles. */
  release(): void;
};
