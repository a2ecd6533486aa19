/**
 * A machine with engines that makes the images of others: takes jobs that it can do from Redis, a job for each free
 * engine, and answers the front that asked.
 */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { serialize } from 'node:v8';
import type { EnginePool } from '../engine/engine.ts';
import type { EngineErrorCode } from '../engine/errors.ts';
import type { EngineEvent, Plan } from '../engine/plan.ts';
import { RetouchError, toErrorData } from '../error.ts';
import type { Log } from '../log.ts';
import { type AnswerKind, sendAnswer } from './answers.ts';
import type { Catalog } from './catalog.ts';
import { FleetError } from './errors.ts';
import { type FleetConnection, type HeldJob, JobSource, versionOf } from './job-queues.ts';
import { unpackPlan } from './portable-plan.ts';
import { duplicateRedis, type Redis } from './redis.ts';
import { type QueueEntry, Registry, type WorkerEntry } from './registry.ts';
import type { Transfers } from './transfers.ts';

export type FleetWorkerOptions = {
  connection: FleetConnection;
  transfers: Transfers;
  engines: EnginePool;
  catalog: Catalog;
  /** Shown to people. */
  name: string;
  version: string;
  log: Log;
  /** Milliseconds without a renewal after which another worker is given a job. */
  lease?: number | undefined;
};

type Running = {
  job: HeldJob;
  source: JobSource;
  stop: AbortController;
  done: Promise<void>;
  /** Until its engine has ended: the next job is taken while the result is on its way. */
  computing: boolean;
};

/** Milliseconds between two looks for new queues and jobs: messages come sooner, this is for those that were lost. */
const lookInterval = 1000;
/** Milliseconds between two announcements while nothing changes. */
const announceInterval = 4000;
/** Milliseconds that a stopping worker has for telling Redis. */
const tellTime = 3000;
/** Milliseconds after a change in which further ones are announced with it. */
const announcePause = 300;
/** Images in a row for the models that are loaded, after which the queue that waits the longest has its turn. */
const longestRow = 8;

export class FleetWorker {
  readonly id = randomUUID();
  readonly #options: FleetWorkerOptions & { lease: number };
  readonly #registry: Registry;
  readonly #sources = new Map<string, JobSource & { lastTaken?: number }>();
  readonly #running = new Map<string, Running>();
  readonly #started = Date.now();
  #subscriber: Redis | undefined;
  #timers: NodeJS.Timeout[] = [];
  #draining = false;
  #filling = false;
  #again = false;
  #takes = 0;
  #row = 0;
  #tokens = 0;
  #soon: NodeJS.Timeout | undefined;

  constructor(options: FleetWorkerOptions) {
    this.#options = { ...options, lease: options.lease ?? 15_000 };
    this.#registry = new Registry(options.connection);
  }

  /** Throws `fleetVersionMismatch` when every server of the fleet has another version. */
  async start(): Promise<void> {
    const { version, connection, engines } = this.#options;
    const fronts = await this.#registry.fronts();
    if (fronts.length > 0 && fronts.every((front) => front.version !== version)) {
      const found = fronts.map((front) => `${front.name} has ${front.version}`).join(', ');
      const message = `This worker has version ${version} of Retouch, and no server of the fleet has it: ${found}. Both must have the same.`;
      throw new FleetError('fleetVersionMismatch', message);
    }
    const subscriber = duplicateRedis(connection.redis);
    this.#subscriber = subscriber;
    subscriber.on('message', (channel, text) => {
      if (channel === connection.keys.jobs) void this.#onJob(text);
      else this.#running.get(text)?.stop.abort();
    });
    await subscriber.subscribe(connection.keys.jobs, connection.keys.cancels);
    engines.onGrowth(() => void this.#fill());
    await this.#announce();
    await this.#registry.tellChange();
    await this.#look();
    this.#timers = [
      setInterval(() => void this.#look().catch(() => {}), lookInterval),
      setInterval(() => {
        void this.#announce().catch(() => {});
        // A connection that only listens does not notice that its network is gone.
        void subscriber.ping().catch(() => {});
      }, announceInterval),
    ];
  }

  /**
   * Takes no further job and ends those it holds; those not done after `grace` milliseconds go back for another worker.
   */
  async drain(grace: number): Promise<void> {
    this.#draining = true;
    const time = new AbortController();
    // While Redis is away nothing can be told: the jobs end by their leases.
    await Promise.race([this.#end(grace), sleep(grace + tellTime, undefined, { signal: time.signal })]);
    time.abort();
    for (const each of this.#timers) clearInterval(each);
    clearTimeout(this.#soon);
    this.#subscriber?.disconnect();
  }

  async #end(grace: number): Promise<void> {
    const { connection } = this.#options;
    let isOver = false;
    const handBack = () => {
      isOver = true;
      for (const { stop } of this.#running.values()) stop.abort(handedBack);
    };
    const timer = setTimeout(handBack, grace);
    if (connection.redis.status === 'ready') {
      await this.#announce().catch(() => {});
      await this.#registry.tellChange().catch(() => {});
    }
    // A job may still be on its way from Redis when the drain begins.
    while (this.#filling || this.#running.size > 0) {
      if (isOver) handBack();
      await Promise.all([...this.#running.values()].map(({ done }) => done));
      await turn();
    }
    clearTimeout(timer);
    await this.#registry.forgetWorker(this.id).catch(() => {});
    await Promise.all([...this.#sources.values()].map((source) => source.close().catch(() => {})));
  }

  async #announce(): Promise<void> {
    const { name, version, catalog, engines } = this.#options;
    const entry: WorkerEntry = {
      ...{ id: this.id, name, version, host: hostname(), started: this.#started, draining: this.#draining },
      have: catalog.have,
      engines: engines.engines.map(({ pid: _, ...engine }) => engine),
    };
    await this.#registry.announceWorker(entry);
  }

  /**
   * Announces the state of the engines, which fronts show. Throttled, so that many images a second do not send as many
   * announcements.
   */
  #announceSoon(): void {
    if (this.#draining) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const announced = this.#announce().then(() => this.#registry.tellChange());
      announced.catch(() => {});
    }, announcePause);
  }

  async #onJob(name: string): Promise<void> {
    if (!this.#sources.has(name)) await this.#look().catch(() => {});
    else await this.#fill();
  }

  /** Opens queues that this worker can serve, and closes those that are forgotten. */
  async #look(): Promise<void> {
    const { version, catalog, connection, lease } = this.#options;
    const queues = await this.#registry.queues();
    const canServe = ({ name, needs }: QueueEntry) =>
      versionOf(name) === version && needs.every((need) => catalog.has(need));
    const served = queues.filter(canServe);
    for (const entry of served) {
      if (!this.#sources.has(entry.name))
        this.#sources.set(entry.name, new JobSource(entry, connection, lease));
    }
    for (const [name, source] of this.#sources) {
      const isHeld = [...this.#running.values()].some((running) => running.source === source);
      if (isHeld || served.some((entry) => entry.name === name)) continue;
      this.#sources.delete(name);
      void source.close().catch(() => {});
    }
    await this.#fill();
  }

  /** Takes a job for each free engine. One such round at a time. */
  async #fill(): Promise<void> {
    this.#again = true;
    if (this.#filling) return;
    this.#filling = true;
    try {
      while (this.#again) {
        this.#again = false;
        while (!this.#draining && this.#hasRoom) {
          if (!(await this.#takeOne())) break;
        }
      }
    } catch (error) {
      this.#options.log.warn('A job could not be taken from Redis.', { error });
    } finally {
      this.#filling = false;
    }
  }

  /** Results on their way are bounded, so that a slow network does not fill the memory. */
  get #hasRoom(): boolean {
    const computing = [...this.#running.values()].filter((running) => running.computing).length;
    return computing < this.#usable && this.#running.size < 2 * this.#usable;
  }

  /** Engines that are not waiting after a crash: a machine on which every run crashes must not take all the jobs. */
  get #usable(): number {
    const { engines, capacity } = this.#options.engines;
    return Math.min(capacity, engines.filter(({ state }) => state !== 'backing-off').length);
  }

  async #takeOne(): Promise<boolean> {
    for (const source of this.#inOrder()) {
      const job = await source.take(`${this.id}:${++this.#tokens}`);
      if (!job) continue;
      this.#row = this.#isLoaded(source) ? this.#row + 1 : 0;
      source.lastTaken = ++this.#takes;
      const stop = new AbortController();
      const running: Running = { job, source, stop, done: Promise.resolve(), computing: true };
      this.#running.set(job.id, running);
      this.#announceSoon();
      running.done = this.#run(running).finally(() => {
        this.#running.delete(job.id);
        this.#announceSoon();
        void this.#fill();
      });
      return true;
    }
    return false;
  }

  /** Queues of loaded models first, but not for ever; then the one that was served the longest ago. */
  #inOrder(): (JobSource & { lastTaken?: number })[] {
    const rank = (source: JobSource) => (this.#row < longestRow && this.#isLoaded(source) ? 1 : 0);
    return [...this.#sources.values()].sort(
      (a, b) => rank(b) - rank(a) || (a.lastTaken ?? 0) - (b.lastTaken ?? 0),
    );
  }

  #isLoaded({ needs: [model] }: JobSource): boolean {
    return this.#options.engines.engines.some((engine) => engine.model === model?.air);
  }

  /** Never rejects: what cannot be told to Redis ends by the lease. */
  async #run(running: Running): Promise<void> {
    const { job, stop } = running;
    const { transfers, log, lease } = this.#options;
    let renewing = false;
    const renewal = setInterval(async () => {
      if (renewing) return;
      renewing = true;
      await this.#renew(job, stop).catch(() => {});
      renewing = false;
    }, lease / 3);
    try {
      // Not awaited: one connection keeps the order of what it sends.
      this.#answer(job, { type: 'start' }).catch(() => {});
      const image = await this.#make(job, stop.signal);
      running.computing = false;
      void this.#fill();
      const stored = transfers.put(resultName(job), serialize(image));
      if (!transfers.isOrdered) await stored;
      await Promise.all([stored, job.complete()]);
      await this.#answer(job, { type: 'end', token: job.token });
    } catch (error) {
      await this.#endJob(job, stop.signal, error).catch((reason) =>
        log.warn('The end of a job could not be told to its server.', { job: job.id, error: reason }),
      );
    } finally {
      clearInterval(renewal);
    }
  }

  async #renew(job: HeldJob, stop: AbortController): Promise<void> {
    const { redis, keys } = this.#options.connection;
    const [isHeld, cancelled] = await Promise.all([job.extend(), redis.exists(keys.cancelled(job.id))]);
    if (!isHeld) stop.abort(leaseLost);
    else if (cancelled) stop.abort();
  }

  async #make(job: HeldJob, signal: AbortSignal): Promise<EngineEvent> {
    const { transfers, catalog, engines, connection } = this.#options;
    const [bytes, cancelled] = await Promise.all([
      transfers.get(planName(job.id)),
      connection.redis.exists(connection.keys.cancelled(job.id)),
    ]);
    if (cancelled)
      throw new RetouchError('engineAborted' satisfies EngineErrorCode, 'The image was cancelled.');
    if (!bytes) throw new FleetError('transferLost', `The plan of image ${job.id} is not in Redis any more.`);
    const plan: Plan = unpackPlan(bytes, catalog);
    let image: EngineEvent | undefined;
    for await (const event of engines.run(plan, signal)) {
      if (event.type === 'image') image = event;
      // While Redis is away progress is of no use later, and must not fill the memory.
      else if (connection.redis.status === 'ready')
        this.#answer(job, { type: 'event', event }).catch(() => {});
    }
    return image!;
  }

  async #endJob(job: HeldJob, signal: AbortSignal, error: unknown): Promise<void> {
    const { log } = this.#options;
    if (signal.reason === leaseLost) {
      log.warn('Redis was away for longer than a lease: the image is another worker’s now.', { job: job.id });
      return;
    }
    if (signal.reason === handedBack) {
      await job.putBack();
      await this.#options.connection.redis.publish(this.#options.connection.keys.jobs, '');
      return;
    }
    await job.fail(JSON.stringify(toErrorData(error)));
    await this.#answer(job, { type: 'end' });
  }

  #answer(job: HeldJob, what: AnswerKind): Promise<void> {
    const { connection, name } = this.#options;
    return sendAnswer(connection, job.front, { job: job.id, attempt: job.attempt, worker: name, ...what });
  }
}

export function planName(job: string): string {
  return `plan:${job}`;
}

export function resultName({ id, token }: { id: string; token: string }): string {
  return `result:${id}:${token}`;
}

/** Why a run is stopped without being cancelled: reasons of signals, which nobody but this file sees. */
const leaseLost = new Error('The lease has run out.');
const handedBack = new Error('The worker drains.');
