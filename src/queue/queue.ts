/**
 * The queue of Jobs. A job is the UUID of the image to make; its plan is in the task store.
 *
 * Every implementation runs a job at least once: the job leaves the queue after its work, so a process that ends
 * earlier leaves it there. The worker makes outcomes exactly-once: it settles a result only while the result is open.
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
  /** Names of everything that an engine must have for the jobs. Jobs with the same needs share the engines that have it. */
  needs?: string;
  /**
   * Writes the tasks of the jobs, after the check for room and before any job runs; in the same transaction as the jobs
   * if the queue is in the database.
   */
  record?: () => void;
  /** Resolves when the record survives a power failure; no job of this push runs before. */
  flush?: () => Promise<void>;
};

export interface Queue {
  /**
   * Adds all of the jobs or none. Jobs of one account run in the order of their arrival, and accounts take turns job by
   * job, also across restarts. A job that is already queued keeps its place. Rejects with `queueFull`, `queueClosed`,
   * the code of the store or an error of the options; when `flush` rejects, the jobs are nevertheless in the queue.
   */
  push(ids: readonly string[], options?: PushOptions): Promise<void>;
  /**
   * Adds jobs that an earlier process accepted, even beyond the limit. A job during which that process died runs after
   * the others, and from the second time on after a rest that doubles each time, so that a job that kills the server does
   * not block them.
   */
  restore(jobs: readonly { id: string; account: string }[]): Promise<void>;
  /** Removes a waiting job; the signal of a running one aborts with `jobAborted`. */
  cancel(id: string): void;
  /** Begins to run jobs. */
  start(work: Work): void;
  /** Call when there are more engines than before. */
  wake(): void;
  /** Call when the process is told to end: its end is then no interruption of the running jobs. */
  announceEnd(): void;
  /** How many jobs run before this one; undefined for a job that is not in the queue. */
  position(id: string): number | undefined;
  /** Jobs waiting and running. */
  readonly depth: number;
  /** Resolves when nothing waits or runs. */
  idle(): Promise<void>;
  /**
   * Starts no further job, and stops the running ones after `grace` milliseconds. Unfinished jobs stay for the next
   * start.
   */
  close(grace?: number): Promise<void>;
}

/**
 * Resolves when the job is done, whether it succeeded or failed. Rejects when it must be tried again: because its
 * signal aborted with `queueClosed`, or because its outcome could not be stored. Must settle soon after its signal
 * aborts.
 */
export type Work = (id: string, turn: Turn) => Promise<void>;

/** Interruptions and crashes are counted apart: operators kill servers, faulty jobs kill engines. */
export type Turn = {
  /** How often the server's process ended unannounced while it ran this job. */
  interruptions: number;
  /** Engines that died while they ran this job, including those of earlier server processes. */
  crashes: number;
  /** Call when the server has survived an engine that died. Throws the codes of the store. */
  countCrash(): void;
  signal: AbortSignal;
  /** Frees the job's engine for another job; without this call the engine is free when the work settles. */
  release(): void;
};
