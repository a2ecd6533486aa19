/**
 * The door to BullMQ, which is only transport: it hands each job to one worker under a lease, and hands it to another
 * when the lease runs out. There is a queue for each set of needs, so that a worker takes only what it can do.
 *
 * Fencing: a lease has a token, and BullMQ completes a job only under the token of its present lease. The result of a
 * worker that was taken for lost is refused.
 */

import { createHash } from 'node:crypto';
import { Job, Queue, Worker } from 'bullmq';
import type { Need } from './catalog.ts';
import type { FleetKeys } from './keys.ts';
import type { Redis } from './redis.ts';

/** `front` is whom to answer. */
export type JobData = { front: string };

/** Result of a job: the token under which it was done, which names its transfer. */
export type Completion = { token: string };

export type JobState =
  | { state: 'open' | 'gone' }
  | { state: 'completed'; completion: Completion }
  | { state: 'failed'; reason: string };

export type FleetConnection = { redis: Redis; keys: FleetKeys };

/** Times that a job is handed to another worker after its lease ran out. */
const maxLosses = 1;
/** Reason of a job whose workers were lost more often than that. */
export const lostTooOften = 'lost';
/** Seconds that a finished job is kept for a front that is away. */
const keep = { age: 86_400 };

/** Versions never meet: each has queues of its own. */
export function queueName(version: string, needs: readonly Need[]): string {
  const hash = createHash('sha256').update(JSON.stringify(needs)).digest('hex').slice(0, 24);
  return `${version}-${hash}`;
}

/** The version in a queue's name. */
export function versionOf(name: string): string {
  return name.slice(0, name.lastIndexOf('-'));
}

/** The front's end of the queues. */
export class JobQueues {
  readonly #connection: FleetConnection;
  readonly #queues = new Map<string, Queue<JobData, Completion>>();

  constructor(connection: FleetConnection) {
    this.#connection = connection;
  }

  /** Adds the job, unless it is there from an earlier life of this front: then it goes on as it is. */
  async add(name: string, { id, data }: { id: string; data: JobData }): Promise<void> {
    await this.#queue(name).add('image', data, {
      jobId: id,
      attempts: 1,
      removeOnComplete: keep,
      removeOnFail: keep,
    });
  }

  async state(name: string, id: string): Promise<JobState> {
    const job = await Job.fromId<JobData, Completion>(this.#queue(name), id);
    if (!job) return { state: 'gone' };
    // All of it stands in the job itself: one question instead of two.
    if (job.finishedOn === undefined) return { state: 'open' };
    if (job.returnvalue) return { state: 'completed', completion: job.returnvalue };
    return { state: 'failed', reason: job.failedReason };
  }

  /** Leaves a job that a worker holds: only its worker can end it. */
  async remove(name: string, id: string): Promise<void> {
    await this.#queue(name).remove(id);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #queue(name: string): Queue<JobData, Completion> {
    const known = this.#queues.get(name);
    if (known) return known;
    const { redis, keys } = this.#connection;
    const queue = new Queue<JobData, Completion>(name, { connection: redis, prefix: keys.bull });
    queue.on('error', () => {});
    this.#queues.set(name, queue);
    return queue;
  }
}

/** A job that this worker holds. */
export type HeldJob = {
  id: string;
  front: string;
  token: string;
  /** Times that the job was taken, by any worker: what a later taker says counts more. */
  attempt: number;
  /** False when the lease has run out and the job is another worker's. */
  extend(): Promise<boolean>;
  /** Rejects when the lease has run out. */
  complete(): Promise<void>;
  fail(reason: string): Promise<void>;
  /** For another worker, without counting as a loss. */
  putBack(): Promise<void>;
};

/** A worker's end of one queue. */
export class JobSource {
  readonly name: string;
  readonly needs: readonly Need[];
  readonly #worker: Worker<JobData, Completion>;
  readonly #lease: number;

  /** `lease` in milliseconds. */
  constructor(
    { name, needs }: { name: string; needs: readonly Need[] },
    { redis, keys }: FleetConnection,
    lease: number,
  ) {
    this.name = name;
    this.needs = needs;
    this.#lease = lease;
    this.#worker = new Worker<JobData, Completion>(name, null, {
      connection: redis,
      prefix: keys.bull,
      autorun: false,
      lockDuration: lease,
      stalledInterval: Math.ceil(lease / 3),
      maxStalledCount: maxLosses,
    });
    this.#worker.on('error', () => {});
    this.#worker.startStalledCheckTimer().catch(() => {});
  }

  /** The next job of the queue, if it has one. `token` must be new. */
  async take(token: string): Promise<HeldJob | undefined> {
    const job = await this.#worker.getNextJob(token, { block: false });
    if (!job) return undefined;
    if (job.deferredFailure) {
      // BullMQ hands out a job that was lost too often once more, to be ended.
      await job.moveToFailed(new Error(lostTooOften), token, false);
      return this.take(`${token}+`);
    }
    return {
      id: job.id!,
      front: job.data.front,
      token,
      attempt: job.attemptsStarted,
      extend: async () => (await job.extendLock(token, this.#lease).catch(notFound)) === 1,
      complete: async () => void (await job.moveToCompleted({ token }, token, false)),
      fail: async (reason) => void (await job.moveToFailed(new Error(reason), token, false)),
      putBack: async () => void (await job.moveToWait(token)),
    };
  }

  async close(): Promise<void> {
    await this.#worker.close(true);
  }
}

/** BullMQ throws for some of the ways in which a lease can be over. */
function notFound(error: Error): number {
  if (/lock|Missing key/i.test(error.message)) return 0;
  throw error;
}
