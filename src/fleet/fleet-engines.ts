/**
 * The engines of all workers as one pool, for a server. An image is a job under its own UUID: a server that was killed
 * and started again finds the job where it is, and does not have it made twice.
 */

import { randomUUID } from 'node:crypto';
import { deserialize } from 'node:v8';
import type { EnginePool, PooledEngine } from '../engine/engine.ts';
import type { EngineEvent, Plan } from '../engine/plan.ts';
import { Channel } from '../engine/process/channel.ts';
import { aborted, closed } from '../engine/process/host.ts';
import { RetouchError } from '../error.ts';
import type { Log } from '../log.ts';
import { type Answer, readAnswers } from './answers.ts';
import type { Catalog, Need } from './catalog.ts';
import { type Dispatch, errorOf, isPassing, lostResult } from './dispatch.ts';
import { type FleetConnection, JobQueues, type JobState, queueName } from './job-queues.ts';
import { KnownWorkers } from './known-workers.ts';
import { needsOf, packPlan } from './portable-plan.ts';
import { duplicateRedis, type Redis } from './redis.ts';
import { Registry, type WorkerEntry } from './registry.ts';
import type { Transfers } from './transfers.ts';
import { planName, resultName } from './worker.ts';

export type FleetEnginesOptions = {
  connection: FleetConnection;
  transfers: Transfers;
  catalog: Catalog;
  /** Stays the same across restarts: workers answer to it. */
  id: string;
  /** Shown to people. */
  name: string;
  version: string;
  /** Where Redis is, for people. */
  where: string;
  log: Log;
};

/** Milliseconds between two looks at the workers and at the states of jobs: messages come sooner. */
const lookInterval = 2000;
/** Milliseconds after a worker's message in which those of others are waited for. */
const changePause = 200;
const maxResends = 5;
/** Needs of a plan that no worker can make. */
const unknownNeeds = 'unknown';

export class FleetEngines implements EnginePool {
  readonly #options: FleetEnginesOptions;
  readonly #registry: Registry;
  readonly #queues: JobQueues;
  readonly #closing = new AbortController();
  readonly #open = new Map<string, Dispatch>();
  readonly #workers: KnownWorkers;
  readonly #growth: (() => void)[] = [];
  #connections: Redis[] = [];
  #subscriber: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #looking = false;
  #awaySince: Date | undefined;
  /** Milliseconds of an image on its worker, a mean over the last ones with the same needs. */
  readonly #durations = new Map<string, number>();

  private constructor(options: FleetEnginesOptions) {
    this.#options = options;
    this.#registry = new Registry(options.connection);
    this.#queues = new JobQueues(options.connection);
    this.#workers = new KnownWorkers(options.version, options.log);
  }

  static async start(options: FleetEnginesOptions): Promise<FleetEngines> {
    const fleet = new FleetEngines(options);
    await fleet.#start();
    return fleet;
  }

  get capacity(): number {
    return this.#awaySince ? 0 : this.#workers.capacity;
  }

  get engines(): PooledEngine[] {
    return this.#workers.engines;
  }

  get problem(): string | undefined {
    const { where } = this.#options;
    if (this.#awaySince)
      return `Redis at ${where} cannot be reached since ${this.#awaySince.toISOString()}; what was accepted waits for it.`;
    if (this.capacity > 0) return undefined;
    return 'No worker is connected; what was accepted waits for one.';
  }

  onGrowth(listener: () => void): void {
    this.#growth.push(listener);
  }

  refusal(plan: Plan): string | undefined {
    try {
      return this.#workers.refusal(needsOf(plan, this.#options.catalog));
    } catch (error) {
      if (error instanceof RetouchError) return error.message;
      throw error;
    }
  }

  /** The AIRs of all that the plan needs, as JSON; `unknown` where this server lacks a file of it. */
  needsOf(plan: Plan): string {
    try {
      return describeNeeds(needsOf(plan, this.#options.catalog));
    } catch (error) {
      if (error instanceof RetouchError) return unknownNeeds;
      throw error;
    }
  }

  capacityFor(needs: string): number {
    if (this.#awaySince || needs === unknownNeeds) return 0;
    return this.#withNext(this.#enginesFor(needs), this.#durations.get(needs));
  }

  #enginesFor(needs: string): number {
    // A job that was accepted without a fleet.
    if (needs === '') return this.capacity;
    const found = (JSON.parse(needs) as string[]).map((air) => this.#options.catalog.need(air));
    // An adapter or a model that has left this server since then is an error of the image.
    if (found.includes(undefined)) return this.capacity;
    return this.#workers.capacityFor(found as Need[]);
  }

  /**
   * As many more as engines begin within the time of a handover, which they would spend idle. Images of other keys wait
   * longer by about that time. A single engine gets none: its images end in the order in which they were asked for.
   */
  #withNext(engines: number, duration = Number.POSITIVE_INFINITY): number {
    if (engines <= 1) return engines;
    const begun = Math.round((engines * this.#options.transfers.handover) / duration);
    return engines + Math.min(begun, engines);
  }

  async *run(plan: Plan, signal?: AbortSignal, id: string = randomUUID()): AsyncGenerator<EngineEvent> {
    const { catalog, version } = this.#options;
    if (this.#closing.signal.aborted) throw closed();
    if (signal?.aborted) throw aborted();
    const needs = needsOf(plan, catalog);
    const dispatch: Dispatch = {
      ...{ id, needs, queue: queueName(version, needs), plan: packPlan(plan, catalog) },
      ...{ channel: new Channel<EngineEvent>(), attempt: 0, resends: 0 },
      ...{ sent: false, checking: false, again: false, done: false },
    };
    const stop = () => {
      if (!isClosing(signal)) void this.#cancel(dispatch);
      dispatch.channel.abandon(isClosing(signal) ? closed() : aborted());
    };
    signal?.addEventListener('abort', stop, { once: true });
    this.#open.set(id, dispatch);
    void this.#send(dispatch);
    let ended = false;
    try {
      yield* dispatch.channel;
      ended = true;
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#open.delete(id);
      // Whoever leaves the loop early wants no image.
      if (!ended) void this.#cancel(dispatch);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    // The jobs stay: the next start finds them.
    for (const { channel } of this.#open.values()) channel.abandon(closed());
    const { connection, id } = this.#options;
    if (connection.redis.status === 'ready') await this.#registry.forgetFront(id).catch(() => {});
    if (connection.redis.status === 'ready') await this.#queues.close().catch(() => {});
    for (const redis of [...this.#connections, connection.redis]) redis.disconnect();
  }

  async #start(): Promise<void> {
    const { connection, id, where, log } = this.#options;
    const { redis, keys } = connection;
    const [blocking, subscriber] = [duplicateRedis(redis), duplicateRedis(redis)];
    this.#connections = [blocking, subscriber];
    redis.on('close', () => {
      if (this.#awaySince || this.#closing.signal.aborted) return;
      this.#awaySince = new Date();
      log.warn(`Redis at ${where} cannot be reached; images for workers wait.`);
    });
    redis.on('ready', () => {
      this.#awaySince = undefined;
      log.info(`Redis at ${where} is back.`);
      for (const listener of this.#growth) listener();
      void this.#look();
    });
    subscriber.on('message', () => this.#lookSoon());
    this.#subscriber = subscriber;
    await subscriber.subscribe(keys.changes);
    const stream = keys.answers(id);
    void readAnswers({ blocking, stream, signal: this.#closing.signal }, (answer) => this.#hear(answer));
    await this.#look();
    this.#timer = setInterval(() => void this.#look(), lookInterval);
  }

  /** Workers tell of each change, and a large fleet of many. */
  #lookSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.#lookAtWorkers().catch(() => {});
    }, changePause);
  }

  async #lookAtWorkers(): Promise<void> {
    if (this.#options.connection.redis.status === 'ready') this.#see(await this.#registry.workers());
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#closing.signal.aborted || this.#options.connection.redis.status !== 'ready')
      return;
    this.#looking = true;
    try {
      const { id, name, version } = this.#options;
      await this.#registry.announceFront({ id, name, version });
      await this.#lookAtWorkers();
      // A connection that only listens does not notice that its network is gone.
      void this.#subscriber?.ping().catch(() => {});
      const sent = [...this.#open.values()].filter((dispatch) => dispatch.sent);
      const queues = new Map(sent.map(({ queue: name, needs }) => [name, { name, needs: [...needs] }]));
      await Promise.all([...queues.values()].map((queue) => this.#registry.announceQueue(queue)));
      await Promise.all(sent.map((dispatch) => this.#check(dispatch)));
    } catch (error) {
      if (!this.#closing.signal.aborted)
        this.#options.log.warn('The fleet could not be looked at.', { error });
    } finally {
      this.#looking = false;
    }
  }

  #see(entries: readonly WorkerEntry[]): void {
    if (this.#workers.see(entries)) for (const listener of this.#growth) listener();
  }

  /** Waits in the connection's own queue while Redis is away. */
  async #send(dispatch: Dispatch): Promise<void> {
    const { id, queue, needs, plan } = dispatch;
    const { transfers, connection, id: front } = this.#options;
    const { redis, keys } = connection;
    try {
      // `cancelled` is of an earlier, abandoned attempt at this image.
      const sent = Promise.all([transfers.put(planName(id), plan), redis.del(keys.cancelled(id))]);
      if (!transfers.isOrdered) await sent;
      await Promise.all([sent, this.#queues.add(queue, { id, data: { front } })]);
      await this.#registry.tellJob({ name: queue, needs: [...needs] });
      // If it ended before this front was killed, the next look finds its result.
      dispatch.sent = true;
      if (this.#open.get(id) !== dispatch && !this.#closing.signal.aborted) await this.#cancel(dispatch);
    } catch (error) {
      if (!this.#closing.signal.aborted) dispatch.channel.end({ error });
    }
  }

  #hear({ job, attempt, worker, ...answer }: Answer): void {
    const dispatch = this.#open.get(job);
    if (!dispatch || attempt < dispatch.attempt) return;
    if (attempt > dispatch.attempt) {
      if (dispatch.worker !== undefined)
        this.#options.log.warn(`An image of the worker ${dispatch.worker} is made by ${worker} now.`, {
          image: job,
        });
      dispatch.attempt = attempt;
      dispatch.worker = worker;
    }
    if (answer.type === 'start') dispatch.started = performance.now();
    if (answer.type === 'event') dispatch.channel.push(answer.event);
    if (answer.type !== 'end') return;
    const { token } = answer;
    if (token !== undefined) this.#noteDuration(dispatch);
    void this.#check(
      dispatch,
      token === undefined ? undefined : { state: 'completed', completion: { token } },
    );
  }

  #noteDuration({ started, needs }: Dispatch): void {
    if (started === undefined) return;
    const taken = Math.max(1, performance.now() - started);
    const key = describeNeeds(needs);
    const before = this.#durations.get(key) ?? taken;
    this.#durations.set(key, 0.9 * before + 0.1 * taken);
  }

  /** Looks at the state of a job, unless it is known, and ends its run accordingly. */
  async #check(dispatch: Dispatch, known?: JobState): Promise<void> {
    const { id, queue } = dispatch;
    dispatch.again = true;
    if (dispatch.checking) return;
    dispatch.checking = true;
    try {
      while (dispatch.again && !dispatch.done && this.#open.get(id) === dispatch) {
        dispatch.again = false;
        const found = known ?? (await this.#queues.state(queue, id));
        known = undefined;
        if (found.state === 'completed' || found.state === 'failed') await this.#conclude(dispatch, found);
        else if (found.state === 'gone') await this.#sendAgain(dispatch, 'Redis has lost it');
      }
    } catch (error) {
      if (!this.#closing.signal.aborted)
        this.#options.log.warn('The state of an image could not be read.', { image: id, error });
    } finally {
      dispatch.checking = false;
    }
  }

  async #sendAgain(dispatch: Dispatch, reason: string): Promise<void> {
    this.#options.log.warn(`An image is sent to the workers again: ${reason}.`, { image: dispatch.id });
    dispatch.sent = false;
    dispatch.resends++;
    dispatch.attempt = 0;
    delete dispatch.worker;
    await this.#send(dispatch);
  }

  async #conclude(
    dispatch: Dispatch,
    found: Extract<JobState, { state: 'completed' | 'failed' }>,
  ): Promise<void> {
    const { id, queue, channel } = dispatch;
    const { transfers } = this.#options;
    if (found.state === 'failed') {
      const error = errorOf(found.reason);
      await this.#queues.remove(queue, id);
      if (isPassing(error) && dispatch.resends < maxResends) {
        await this.#sendAgain(dispatch, error.message);
        return;
      }
      await transfers.delete(planName(id));
      dispatch.done = true;
      channel.end({ error });
      return;
    }
    const { token } = found.completion;
    const name = resultName({ id, token });
    const bytes = await transfers.get(name);
    // Redis was emptied between the two questions.
    if (!bytes && dispatch.resends < maxResends) {
      await this.#queues.remove(queue, id);
      await this.#sendAgain(dispatch, lostResult(id).message);
      return;
    }
    dispatch.done = true;
    if (bytes) channel.push(deserialize(bytes) as EngineEvent);
    channel.end(bytes ? {} : { error: lostResult(id) });
    // The consumer does not wait for the removal; what a failure leaves in Redis expires.
    await Promise.all([this.#queues.remove(queue, id), transfers.delete(planName(id), name)]);
  }

  /** In the background: whoever cancels does not wait for the network. */
  async #cancel({ id, queue }: Dispatch): Promise<void> {
    const { connection, transfers, log } = this.#options;
    const { redis, keys } = connection;
    try {
      await redis.multi().set(keys.cancelled(id), '', 'EX', 3600).publish(keys.cancels, id).exec();
      await this.#queues.remove(queue, id);
      await transfers.delete(planName(id));
    } catch (error) {
      if (!this.#closing.signal.aborted) log.warn('An image could not be cancelled.', { image: id, error });
    }
  }
}

function describeNeeds(needs: readonly Need[]): string {
  return JSON.stringify(needs.map(({ air }) => air));
}

/** The server ends: its images go on. */
function isClosing(signal: AbortSignal | undefined): boolean {
  return (signal?.reason as { code?: string } | undefined)?.code === 'queueClosed';
}
