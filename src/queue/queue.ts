/**
 * Where Jobs wait for the engine. A job is the UUID of the image it makes; what is to be done stands in the task store.
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
   * Takes all of the jobs or none; each runs when all pushed before it are done. One that is there already stays where
   * it is. Rejects with `queueFull`, `queueClosed`, the code of the store or what the options throw; when `flush`
   * rejects, the jobs are in the queue all the same.
   */
  push(ids: readonly string[], options?: PushOptions): Promise<void>;
  /** The same for jobs that were taken before the process began: those fit in any case. */
  restore(ids: readonly string[]): Promise<void>;
  /** Takes a waiting job out; the signal of a running one fires with `jobAborted`. */
  cancel(id: string): void;
  /** Begins to run jobs. */
  start(work: Work): void;
  /** Jobs waiting and running. */
  readonly depth: number;
  /** Resolves when nothing waits or runs. */
  idle(): Promise<void>;
  /** Runs no further job, and stops the running one after `grace` milliseconds. What is not done stays for the next start. */
  close(grace?: number): Promise<void>;
}

/**
 * Resolves when the job is done, well or not. Rejects when it must be tried again: because its signal fired with
 * `queueClosed`, or because its end could not be written down. Must settle soon after its signal fires.
 */
export type Work = (id: string, turn: { attempt: number; signal: AbortSignal }) => Promise<void>;
