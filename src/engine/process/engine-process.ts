/** One child process that serves the engine, from its fork to its end. host.ts decides when there is a next one. */

import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { childEnvironment } from '../../child-environment.ts';
import { fromErrorData, type RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { EngineEvent, Plan } from '../plan.ts';
import type { Channel } from './channel.ts';
import type { FromChild, ToChild } from './messages.ts';
import { firstPhase, phaseAfter, phaseText } from './phase.ts';

export type ProcessOptions = {
  module: URL;
  threads: number;
  memoryLimit: number;
  /** Variables added to the child's environment. */
  env: Readonly<Record<string, string>>;
  log: (line: string) => void;
  /** Milliseconds a stop may take before the process is killed. */
  stopTimeout: number;
  /** Called before the current run is rejected. */
  onExit: (exit: Exit) => void;
};

export type Exit = {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The reason why the process could not be started. */
  spawnError?: Error;
  /** Whether the host made it end; anything else is a crash. */
  wanted: boolean;
};

/** Milliseconds a process may take to end after it was asked to exit or has lost its channel. */
const leaveTimeout = 5000;

/** Milliseconds that the output of a process may take to arrive after its end. */
const drainTimeout = 500;

export class EngineProcess {
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #options: ProcessOptions;
  readonly #lastLines: string[] = [];
  #wanted = false;
  #runs = 0;
  #exit: Exit | undefined;
  // Replaced by each run rather than added to: a run's closures hold its images, the process outlives many runs.
  #receive: (message: FromChild) => void = () => {};
  #fail: (exit: Exit) => void = () => {};

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#child = fork(options.module, [], {
      execPath: process.execPath,
      // The parent's flags (an inspector's port, a test runner's loader) are not for the engine.
      execArgv: [],
      env: { ...childEnvironment(process.env), ...options.env },
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.on('message', (message: FromChild) => this.#receive(message));
    this.#readLines(this.#child.stdout!);
    this.#readLines(this.#child.stderr!);
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit) => {
        if (this.#exit) return;
        this.#exit = exit;
        options.onExit(exit);
        this.#fail(exit);
        resolve(exit);
      };
      const ended = (code: number | null, signal: NodeJS.Signals | null) =>
        end({ code, signal, wanted: this.#wanted });
      // 'close' follows the last message and the last line of output, so this waits for it, but not for long: a process
      // that inherited the pipes delays it.
      this.#child.once('close', ended);
      this.#child.once('exit', (code, signal) => setTimeout(ended, drainTimeout, code, signal).unref());
      this.#child.on('error', (spawnError) => {
        if (this.#child.pid === undefined) end({ code: null, signal: null, spawnError, wanted: false });
      });
    });
    this.#child.once('disconnect', () => this.#killUnlessGone());
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves when the child serves; rejects with `engineCrashed` when it ended instead. */
  ready(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#receive = (message) => message.type === 'ready' && resolve();
    this.#onFailure((exit) => reject(this.#crash(exit, 'starting')));
    this.#send({ type: 'start', threads: this.#options.threads, memoryLimit: this.#options.memoryLimit });
    return promise;
  }

  /**
   * Sends the run's events to `events`. Resolves when the child has finished the plan; rejects with its error, or
   * `engineCrashed`. After `signal` the child is asked to stop, and this settles when it has stopped: only then may the
   * next run begin.
   */
  run(plan: Plan, signal: AbortSignal, events: Pick<Channel<EngineEvent>, 'push'>): Promise<void> {
    const id = ++this.#runs;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let phase = firstPhase;
    this.#receive = (message) => {
      if (message.type === 'ready' || message.id !== id) return;
      if (message.type === 'end') resolve();
      else if (message.type === 'error') reject(fromErrorData(message.error));
      else {
        phase = phaseAfter(message.event, plan, phase);
        events.push(message.event);
      }
    };
    this.#onFailure((exit) => reject(this.#crash(exit, phaseText(phase))));

    let killTimer: NodeJS.Timeout | undefined;
    const stop = () => {
      this.#send({ type: 'stop', id });
      killTimer = setTimeout(() => {
        this.#options.log(
          `The engine did not stop within ${this.#options.stopTimeout / 1000} s while ${phaseText(phase)}: killing process ${this.pid}.`,
        );
        this.kill();
      }, this.#options.stopTimeout);
    };
    this.#send({ type: 'run', id, plan });
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    return promise.finally(() => {
      clearTimeout(killTimer);
      signal.removeEventListener('abort', stop);
      this.#receive = () => {};
      this.#fail = () => {};
    });
  }

  /** Asks an idle child to release its memory and exit; kills it when it does not. */
  async close(): Promise<void> {
    this.#wanted = true;
    this.#send({ type: 'leave' });
    this.#killUnlessGone();
    await this.exited;
  }

  kill(): void {
    this.#wanted = true;
    this.#child.kill('SIGKILL');
  }

  #send(message: ToChild): void {
    // The 'close' event reports a child that has exited; the callback keeps the failed send from being emitted as well.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #onFailure(fail: (exit: Exit) => void): void {
    if (this.#exit) fail(this.#exit);
    else this.#fail = fail;
  }

  #killUnlessGone(): void {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), leaveTimeout);
    void this.exited.then(() => clearTimeout(timer));
  }

  #readLines(stream: Readable): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > 20) this.#lastLines.shift();
      this.#options.log(line);
    });
  }

  #crash({ code, signal, spawnError }: Exit, phase: string): RetouchError {
    if (spawnError) {
      return new EngineError(
        'engineCrashed',
        `The engine process could not be started: ${spawnError.message}.`,
      );
    }
    const how = signal ? `signal ${signal}` : `exit code ${code}`;
    const hint =
      signal === 'SIGKILL' ? ' SIGKILL is also how the system ends a process when memory has run out.' : '';
    return new EngineError(
      'engineCrashed',
      `The engine process ended with ${how} while ${phase}; the next run gets a fresh one.${hint}`,
      { signal, exitCode: code, phase, lastLines: [...this.#lastLines] },
    );
  }
}
