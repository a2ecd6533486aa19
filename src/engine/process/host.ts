/**
 * The engine behind a process boundary: computing blocks a JavaScript thread for seconds, and a native abort must not
 * take the server down.
 *
 * Invariant: at most one child, and in it at most one run. A run's turn ends when the child has left the run (finished,
 * failed, stopped or died), not when its consumer stopped listening.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backOff } from '../../back-off.ts';
import type { RetouchError } from '../../error.ts';
import { programBeside } from '../../program-beside.ts';
import type { EngineStatus } from '../engine.ts';
import { EngineError } from '../errors.ts';
import type { EngineEvent, Plan } from '../plan.ts';
import { Channel } from './channel.ts';
import { EngineProcess, type Exit } from './engine-process.ts';
import { defaultMemoryLimit, defaultThreads } from './limits.ts';
import { type Watch, Watchdog, type WatchdogOptions, watchdogDefaults } from './watchdog.ts';

export type EngineHostOptions = {
  threads?: number;
  /** Bytes. */
  memoryLimit?: number;
  /** Added to the environment of the child. */
  env?: Readonly<Record<string, string>>;
  /** A module that calls `serveParent`; tests give a scripted one. */
  childModule?: URL;
  log?: (line: string) => void;
  /** Milliseconds a run may take to stop before its process is killed. */
  stopTimeout?: number;
  /** Milliseconds before the restart after the first crash in a row, doubled by each further one. */
  firstDelay?: number;
  longestDelay?: number;
  /** Time limits after which a silent child counts as hung and is replaced. */
  watchdog?: Partial<WatchdogOptions>;
};

export class EngineHost {
  readonly #options: Required<EngineHostOptions>;
  readonly #closing = new AbortController();
  #child: EngineProcess | undefined;
  #state: Exclude<EngineStatus['state'], 'backing-off'> = 'idle';
  #started = 0;
  #crashes = 0;
  #notBefore = 0;
  #lastTurn: Promise<void> = Promise.resolve();
  readonly #watchdog: Watchdog;
  #watch: Watch | undefined;

  constructor(options: EngineHostOptions = {}) {
    this.#options = {
      threads: defaultThreads(),
      memoryLimit: defaultMemoryLimit(),
      env: {},
      // Published as JavaScript beside host.js; the compiler rewrites imports, but not URLs.
      childModule: programBeside(import.meta.url, 'child'),
      log: (line) => console.error(line),
      stopTimeout: 60_000,
      firstDelay: 250,
      longestDelay: 30_000,
      watchdog: {},
      ...options,
    };
    this.#watchdog = new Watchdog({ ...watchdogDefaults, ...options.watchdog });
  }

  get status(): EngineStatus {
    const backingOff = this.#state === 'idle' && performance.now() < this.#notBefore;
    const state = backingOff ? 'backing-off' : this.#state;
    const stalled = this.#watch?.stalled;
    return {
      ...{ state, pid: this.#child?.pid, restarts: Math.max(this.#started - 1, 0) },
      ...(stalled === undefined ? {} : { stalled }),
    };
  }

  /** Milliseconds until a child may be started; 0 unless the last one crashed a short time ago. */
  get startsIn(): number {
    return this.#child ? 0 : Math.max(0, this.#notBefore - performance.now());
  }

  /** Resolves when the child has ended all runs requested so far. */
  get left(): Promise<void> {
    return this.#lastTurn;
  }

  /**
   * The events of one plan, after all runs requested earlier. Throws `engineAborted` after `signal` aborts,
   * `engineCrashed` when the process died, `engineHung` when it was silent for too long and was replaced,
   * `engineClosed`, and the errors of the engine. Leaving the loop stops the run.
   */
  async *run(plan: Plan, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    const left = new AbortController();
    const reasons = [left.signal, this.#closing.signal, ...(signal ? [signal] : [])];
    const stop = AbortSignal.any(reasons);
    const stopped = () => (this.#closing.signal.aborted ? closed() : aborted());
    const channel = new Channel<EngineEvent>();
    const abandon = () => channel.abandon(stopped());
    if (stop.aborted) throw stopped();
    stop.addEventListener('abort', abandon, { once: true });
    void this.#takeTurn(() => this.#work(plan, stop, channel));
    try {
      yield* channel;
    } finally {
      stop.removeEventListener('abort', abandon);
      left.abort();
    }
  }

  /** Ends the child. Runs under way and waiting throw `engineClosed`. */
  async close(): Promise<void> {
    this.#closing.abort();
    const child = this.#child;
    if (this.#state !== 'ready') child?.kill();
    await child?.close();
    await this.#lastTurn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #takeTurn(work: () => Promise<void>): Promise<void> {
    this.#lastTurn = this.#lastTurn.then(work);
    return this.#lastTurn;
  }

  /** Never rejects: the channel ends with the run's error. */
  async #work(plan: Plan, stop: AbortSignal, channel: Channel<EngineEvent>): Promise<void> {
    try {
      if (stop.aborted) return;
      const child = this.#child ?? (await this.#start(stop));
      if (stop.aborted) return;
      this.#state = 'busy';
      await this.#runWatched(child, plan, { stop, channel });
      this.#crashes = 0;
      channel.end();
    } catch (error) {
      channel.end({ error });
    } finally {
      this.#state = this.#child ? 'ready' : 'idle';
    }
  }

  /** A silent child is killed; the next run gets a fresh one. Throws `engineHung` then. */
  async #runWatched(
    child: EngineProcess,
    plan: Plan,
    { stop, channel }: { stop: AbortSignal; channel: Channel<EngineEvent> },
  ): Promise<void> {
    let hung: string | undefined;
    const watch = this.#watchdog.watch(plan, (sentence) => {
      hung = sentence;
      this.#options.log(`${sentence} Killing process ${child.pid}.`);
      child.kill();
    });
    this.#watch = watch;
    const push = (event: EngineEvent) => {
      watch.note(event);
      channel.push(event);
    };
    try {
      await child.run(plan, stop, { push });
    } catch (error) {
      throw hung === undefined ? error : new EngineError('engineHung', hung);
    } finally {
      watch.end();
      this.#watch = undefined;
    }
  }

  async #start(stop: AbortSignal): Promise<EngineProcess> {
    const wait = this.#notBefore - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal: stop });
    const { childModule: module, ...options } = this.#options;
    this.#state = 'starting';
    this.#child = new EngineProcess({ ...options, module, onExit: (exit) => this.#forget(exit) });
    this.#started++;
    const child = this.#child;
    await child.ready();
    return child;
  }

  #forget(exit: Exit): void {
    this.#child = undefined;
    this.#state = 'idle';
    if (exit.wanted) return;
    const { firstDelay, longestDelay, log } = this.#options;
    const delay = backOff(this.#crashes, firstDelay, longestDelay);
    this.#crashes++;
    this.#notBefore = performance.now() + delay;
    log(
      `The engine process ended unexpectedly (crash ${this.#crashes} in a row); the next may start in ${delay} ms.`,
    );
  }
}

export function aborted(): RetouchError {
  return new EngineError('engineAborted', 'The run was stopped before its image was finished.');
}

export function closed(): RetouchError {
  return new EngineError('engineClosed', 'The engine was closed before the image was finished.');
}
