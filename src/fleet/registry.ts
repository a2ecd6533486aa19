/**
 * Who is in the fleet: workers and fronts write what they are under a key that expires, and renew it. Everyone who looks
 * sees those that live.
 */

import type { EngineStatus } from '../engine/engine.ts';
import type { DeviceName } from '../engine/plan.ts';
import type { Need } from './catalog.ts';
import type { FleetConnection } from './job-queues.ts';

type WorkerEngine = Pick<EngineStatus, 'state' | 'restarts' | 'stalled'> & {
  name: string;
  device: DeviceName;
  model?: string;
};

export type WorkerEntry = {
  id: string;
  name: string;
  version: string;
  host: string;
  /** Milliseconds since 1970 by the clock of the worker. */
  started: number;
  draining: boolean;
  have: Need[];
  engines: WorkerEngine[];
};

export type FrontEntry = { id: string; name: string; version: string };

export type QueueEntry = { name: string; needs: Need[] };

/** Seconds that an entry lives without being renewed. */
const lifetime = 15;
/** Seconds that a queue lives without being renewed: servers do that while they have images in it. */
const queueLifetime = 600;
/** Milliseconds after which a job's queue is announced again. */
const announceInterval = 60_000;

export class Registry {
  readonly #connection: FleetConnection;
  /** When each queue was announced last, in `performance.now()`. */
  readonly #announced = new Map<string, number>();

  constructor(connection: FleetConnection) {
    this.#connection = connection;
  }

  workers(): Promise<WorkerEntry[]> {
    const { keys } = this.#connection;
    return this.#read(keys.workers, keys.worker);
  }

  fronts(): Promise<FrontEntry[]> {
    const { keys } = this.#connection;
    return this.#read(keys.fronts, keys.front);
  }

  queues(): Promise<QueueEntry[]> {
    const { keys } = this.#connection;
    return this.#read(keys.queues, keys.queue);
  }

  async announceWorker(entry: WorkerEntry): Promise<void> {
    const { redis, keys } = this.#connection;
    await redis
      .multi()
      .sadd(keys.workers, entry.id)
      .set(keys.worker(entry.id), JSON.stringify(entry), 'EX', lifetime)
      .exec();
  }

  /** Tells the fronts at once, where they would see it a few seconds later. */
  async tellChange(): Promise<void> {
    const { redis, keys } = this.#connection;
    await redis.publish(keys.changes, '');
  }

  async forgetWorker(id: string): Promise<void> {
    const { redis, keys } = this.#connection;
    await redis.multi().srem(keys.workers, id).del(keys.worker(id)).publish(keys.changes, '').exec();
  }

  async announceFront(entry: FrontEntry): Promise<void> {
    const { redis, keys } = this.#connection;
    await redis
      .multi()
      .sadd(keys.fronts, entry.id)
      .set(keys.front(entry.id), JSON.stringify(entry), 'EX', lifetime)
      .exec();
  }

  async forgetFront(id: string): Promise<void> {
    const { redis, keys } = this.#connection;
    await redis.multi().srem(keys.fronts, id).del(keys.front(id)).exec();
  }

  /** Writes the queue down, and tells the workers that it has a job. */
  async announceQueue({ name, needs }: QueueEntry): Promise<void> {
    const { redis, keys } = this.#connection;
    this.#announced.set(name, performance.now());
    await redis
      .multi()
      .sadd(keys.queues, name)
      .set(keys.queue(name), JSON.stringify({ name, needs }), 'EX', queueLifetime)
      .publish(keys.jobs, name)
      .exec();
  }

  /** Tells the workers that the queue has a job, and of the queue itself if that was long ago. */
  async tellJob(queue: QueueEntry): Promise<void> {
    const { redis, keys } = this.#connection;
    const announced = this.#announced.get(queue.name) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - announced > announceInterval) await this.announceQueue(queue);
    else await redis.publish(keys.jobs, queue.name);
  }

  /** Entries that live; ids of the others leave the set. */
  async #read<Entry>(set: string, keyOf: (id: string) => string): Promise<Entry[]> {
    const { redis } = this.#connection;
    const ids = await redis.smembers(set);
    if (ids.length === 0) return [];
    const texts = await redis.mget(ids.map(keyOf));
    const gone = ids.filter((_, index) => texts[index] === null);
    if (gone.length > 0) await redis.srem(set, ...gone);
    return texts.filter((text) => text !== null).map((text) => JSON.parse(text) as Entry);
  }
}
