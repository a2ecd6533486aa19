/** Where Jobs wait for the engine. */

export const queueErrors = {
  jobAborted: 'The job was cancelled before it was finished.',
  queueClosed: 'The queue was closed before the job was finished.',
  queueFull: 'The queue has as many jobs as it takes.',
} as const;

export type QueueErrorCode = keyof typeof queueErrors;

export interface Queue<Job, Outcome> {
  /**
   * The outcome of a job, once every job pushed before it is done. Rejects with what the work threw, `jobAborted`
   * once `signal` fires, `queueClosed`, or `queueFull` at once.
   */
  push(job: Job, signal?: AbortSignal): Promise<Outcome>;
  /** Jobs waiting and running. */
  readonly depth: number;
  /** Resolves when nothing waits or runs. */
  idle(): Promise<void>;
  /** Stops what runs and refuses what waits. */
  close(): Promise<void>;
}

/** Must settle soon after its signal fires. */
export type Work<Job, Outcome> = (job: Job, signal: AbortSignal) => Promise<Outcome>;
