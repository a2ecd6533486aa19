/** Runs the jobs of a JobList in this process, as many at a time as there are engines. */

import { setImmediate as turn } from 'node:timers/promises';
import { backOff } from '../back-off.ts';
import { RetouchError } from '../error.ts';
import type { PushOptions, Queue, QueueErrorCode, Work } from './queue.ts';

/** Attempts are counted when a job is taken: all but the last that were not put back were interrupted. */
export type Job = { id: string; needs: string; attempts: number; crashes: number };

/** `needs` as in PushOptions. */
export type NewJobs = { ids: readonly string[]; account: string; needs: string };

/**
 * The jobs, in fair order: round-robin over the accounts that have jobs, first in, first out within an account. A new job
 * gets the round after the last one of its account, and no earlier round than the latest of the jobs with its needs that
 * run now; jobs are taken by round, then by age (start-time fair queueing with equal weights, over several servers as in
 * SFQ(D): Jin, Chase and Kaur 2004). Jobs whose engines are all in use are passed over.
 *
 * `running` are the ids of the jobs that run: they stay in the list, and are not taken.
 */
export interface JobList {
  readonly size: number;
  has(id: string): boolean;
  position(id: string): number | undefined;
  /** Adds the jobs that are not in the list. */
  add(jobs: NewJobs, running: readonly string[]): void;
  /**
   * The first job that does not run and whose needs have room. Increments its attempts before it runs, so that a crash
   * counts.
   */
  take(running: readonly string[], hasRoom: (needs: string) => boolean): Job | undefined;
  /** Moves jobs with an attempt to the end and returns them: an earlier process died while it ran them. */
  demoteAttempted(): Job[];
  /** Decrements the attempts of a job that was not interrupted. */
  putBack(id: string): void;
  countCrash(id: string): void;
  remove(id: string): void;
  /** Called between jobs: a chance for slow upkeep such as a checkpoint of the database. */
  checkpoint(): void;
  /** All changes or none. */
  transaction<Result>(changes: () => Result): Result;
}

export type LocalQueueOptions = {
  /** Most jobs, running and waiting. */
  limit: number;
  /** Jobs that may compute at a time: the engines there are now. One when it is not given. */
  width?: () => number;
  /** Engines that have everything a job needs; `width` when it is not given. */
  widthFor?: (needs: string) => number;
  /** Milliseconds before a job whose outcome could not be stored is tried again; doubled each time. */
  firstPause?: number;
  longestPause?: number;
  /** Called with the reason when a job will be tried again. */
  onPause?: (error: unknown, milliseconds: number) => void;
  /** Milliseconds before a job with two interruptions is tried again; doubled by each further one. */
  firstRest?: number;
  longestRest?: number;
  onRest?: (interruptions: number, milliseconds: number) => void;
};

/** `computing` until its work frees the engine; `counted` while an end of the process would be an interruption. */
type Running = {
  stop: AbortController;
  done: Promise<void>;
  needs: string;
  computing: boolean;
  counted: boolean;
};

/** take → run → remove, or put back and pause → take again. Invariant: a job is in the list until its work resolved. */
export class LocalQueue implements Queue {
  readonly #jobs: JobList;
  readonly #options: Required<LocalQueueOptions>;
  readonly #closing = new AbortController();
  #work: Work | undefined;
  readonly #running = new Map<string, Running>();
  readonly #resting = new Map<string, NodeJS.Timeout>();
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #endAnnounced = false;
  #whenIdle: (() => void)[] = [];

  constructor(jobs: JobList, options: LocalQueueOptions) {
    this.#jobs = jobs;
    const { width = () => 1 } = options;
    this.#options = {
      width,
      widthFor: width,
      firstPause: 1000,
      longestPause: 30_000,
      onPause: () => {},
      firstRest: 1000,
      longestRest: 600_000,
      onRest: () => {},
      ...options,
    };
  }

  get depth(): number {
    return this.#jobs.size;
  }

  position(id: string): number | undefined {
    return this.#jobs.position(id);
  }

  async push(
    ids: readonly string[],
    { account = '', needs = '', record, flush }: PushOptions = {},
  ): Promise<void> {
    const { limit } = this.#options;
    if (this.depth + ids.length > limit) {
      const further = ids.filter((id) => !this.#jobs.has(id)).length;
      if (this.depth + further > limit) {
        const found = `The queue has ${this.depth} images and takes ${limit}`;
        throw queueError('queueFull', `${found}; there is no room for ${further} more. Try again later.`);
      }
    }
    const begun = this.#change(() => {
      record?.();
      this.#jobs.add({ ids, account, needs }, [...this.#running.keys()]);
    });
    const flushed = flush?.();
    for (const job of begun) this.#run(job, flushed);
    await flushed;
  }

  async restore(jobs: readonly { id: string; account: string }[]): Promise<void> {
    const begun = this.#change(() => {
      for (const { id, account } of jobs)
        this.#jobs.add({ ids: [id], account, needs: '' }, [...this.#running.keys()]);
      if (this.#running.size === 0) for (const job of this.#jobs.demoteAttempted()) this.#letRest(job);
    });
    for (const job of begun) this.#run(job);
  }

  cancel(id: string): void {
    const running = this.#running.get(id);
    if (running) running.stop.abort(aborted());
    else {
      this.#jobs.remove(id);
      clearTimeout(this.#resting.get(id));
      this.#resting.delete(id);
    }
    this.#tellIdle();
  }

  start(work: Work): void {
    this.#work = work;
    this.#next();
  }

  wake(): void {
    this.#next();
  }

  idle(): Promise<void> {
    if (this.depth === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  announceEnd(): void {
    this.#endAnnounced = true;
    for (const id of this.#running.keys()) this.#uncount(id);
  }

  async close(grace = 0): Promise<void> {
    this.#closing.abort();
    this.announceEnd();
    clearTimeout(this.#pause);
    for (const timer of this.#resting.values()) clearTimeout(timer);
    const running = [...this.#running.values()];
    const timer = setTimeout(() => {
      for (const { stop } of running) stop.abort(closed());
    }, grace);
    await Promise.all(running.map(({ done }) => done));
    clearTimeout(timer);
  }

  /** Adds jobs in one transaction. Returns those that free engines start at once, already taken. */
  #change(work: () => void): Job[] {
    if (this.#closing.signal.aborted) throw closed();
    return this.#jobs.transaction(() => {
      work();
      return this.#take();
    });
  }

  /**
   * Takes a job for each engine that is free. Engines may differ in what they have: so that none is idle while there is a
   * job for it, as many jobs with the same needs run as engines have these, whatever else runs. A job that has left its
   * engine still stores its image; so that a slow disk does not collect images without a bound, and different needs do
   * not collect jobs, no more jobs run than twice the engines. With one engine jobs do not overlap: images are known in
   * the order in which they were asked for.
   */
  #take(): Job[] {
    if (this.#pause || this.#closing.signal.aborted || !this.#work) return [];
    const { widthFor } = this.#options;
    const running = [...this.#running.keys(), ...this.#resting.keys()];
    const computing = new Map<string, number>();
    const count = (needs: string) => computing.set(needs, (computing.get(needs) ?? 0) + 1);
    for (const job of this.#running.values()) if (job.computing) count(job.needs);
    const hasRoom = (needs: string) => (computing.get(needs) ?? 0) < widthFor(needs);
    const most = this.#most;
    const taken: Job[] = [];
    while (this.#running.size + taken.length < most) {
      const job = this.#jobs.take([...running, ...taken.map(({ id }) => id)], hasRoom);
      if (!job) break;
      count(job.needs);
      taken.push(job);
    }
    return taken;
  }

  /** Jobs at a time, those that only store their image included. */
  get #most(): number {
    const engines = this.#options.width();
    return engines > 1 ? 2 * engines : engines;
  }

  #next(): void {
    try {
      // A job that releases the only engine gives no room, and a transaction costs as much as a statement.
      const taken = this.#running.size < this.#most ? this.#jobs.transaction(() => this.#take()) : [];
      for (const job of taken) this.#run(job);
      this.#tellIdle();
    } catch (error) {
      this.#rest(error);
    }
  }

  #run({ id, needs, attempts, crashes }: Job, flushed?: Promise<void>): void {
    const stop = new AbortController();
    const job: Running = { stop, done: Promise.resolve(), needs, computing: true, counted: true };
    this.#running.set(id, job);
    if (this.#endAnnounced) this.#uncount(id);
    const release = () => {
      if (!job.computing) return;
      job.computing = false;
      this.#next();
    };
    const countCrash = () => this.#jobs.countCrash(id);
    const interruptions = attempts - 1;
    const begin = () => this.#work!(id, { interruptions, crashes, countCrash, signal: stop.signal, release });
    // Start after the flush settles: when it failed, the pusher withdraws the task, and the worker finds no job.
    const work = flushed ? flushed.catch(() => {}).then(() => turn().then(begin)) : begin();
    job.done = this.#finish(id, work);
  }

  async #finish(id: string, work: Promise<void>): Promise<void> {
    let next: Job[] | undefined;
    try {
      await work;
      // One turn of the event loop, so that clients who waited for this job are answered first.
      await turn();
      next = this.#jobs.transaction(() => {
        this.#jobs.remove(id);
        this.#running.delete(id);
        return this.#take();
      });
      this.#failures = 0;
      this.#jobs.checkpoint();
    } catch (error) {
      this.#uncount(id);
      if (!this.#closing.signal.aborted) this.#rest(error);
    }
    this.#running.delete(id);
    if (!next) this.#next();
    for (const job of next ?? []) this.#run(job);
    this.#tellIdle();
  }

  #uncount(id: string): void {
    const job = this.#running.get(id);
    if (!job?.counted) return;
    // If the list itself fails, the attempt counts, which is the lesser harm.
    try {
      this.#jobs.putBack(id);
      job.counted = false;
    } catch {}
  }

  /** The first interruption costs a job no time: it is seldom the cause. */
  #letRest({ id, attempts }: Job): void {
    if (attempts < 2) return;
    const { firstRest, longestRest, onRest } = this.#options;
    const milliseconds = backOff(attempts - 2, firstRest, longestRest);
    onRest(attempts, milliseconds);
    const timer = setTimeout(() => {
      this.#resting.delete(id);
      this.#next();
    }, milliseconds);
    this.#resting.set(id, timer);
  }

  /** Pauses the whole queue: the cause that keeps one outcome from being stored affects all. */
  #rest(error: unknown): void {
    const { firstPause, longestPause, onPause } = this.#options;
    const milliseconds = backOff(this.#failures++, firstPause, longestPause);
    onPause(error, milliseconds);
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#next();
    }, milliseconds);
  }

  #tellIdle(): void {
    if (this.depth > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

function aborted(): RetouchError {
  return queueError('jobAborted', 'The task was stopped before its image was finished.');
}

function closed(): RetouchError {
  return queueError('queueClosed', 'The server is shutting down and runs no more tasks.');
}

function queueError(code: QueueErrorCode, message: string): RetouchError {
  return new RetouchError(code, message);
}
