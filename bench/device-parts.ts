/** The parts of `bench device` and their time: each is predicted before it begins, and ended when its time is over. */
import { fork } from 'node:child_process';
import { childEnvironment } from '../src/child-environment.ts';
import { deviceEnvironment } from '../src/engine/process/device-environment.ts';
import type { Measured, Part } from './device-part.ts';

const program = new URL('./device-part.ts', import.meta.url);

/** Why there is no measurement, for the table. */
export type Missing = { missing: string };

export class TimeLimit {
  readonly #end: number;

  constructor(minutes: number) {
    this.#end = performance.now() + 60_000 * minutes;
  }

  /** Milliseconds. */
  get left(): number {
    return this.#end - performance.now();
  }

  /** Runs a part unless it is predicted to take longer than the time that is left. */
  async measure(part: Omit<Part, 'milliseconds'>, predicted: number): Promise<Measured | Missing> {
    const { left } = this;
    if (predicted > left) return leftOut(predicted);
    // Repetitions take a tenth of the time that is left, so that later parts have some.
    return measure({ ...part, milliseconds: left / 10 }, left);
  }
}

export function leftOut(predicted: number): Missing {
  return { missing: `left out: about ${Math.round(predicted / 1000)} s` };
}

function measure(part: Part, milliseconds: number): Promise<Measured | Missing> {
  const { promise, resolve } = Promise.withResolvers<Measured | Missing>();
  const begin = performance.now();
  const child = fork(program, [JSON.stringify(part)], {
    execArgv: [],
    env: { ...childEnvironment(process.env), ...deviceEnvironment(part.device, 0, process.env) },
    serialization: 'advanced',
    // ONNX Runtime and drivers warn there; an exception of the part is among it.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = (how: string) => {
    const seconds = Math.round((performance.now() - begin) / 1000);
    resolve({ missing: `ended with ${how} after ${seconds} s` });
  };
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    // A process that hangs in a driver may not end for long: neither this benchmark nor its end waits for it.
    child.disconnect();
    child.unref();
    ended('SIGKILL');
  }, milliseconds);
  child.once('message', resolve as (measured: Measured) => void);
  child.once('error', (cause) => resolve({ missing: `not started: ${cause.message}` }));
  child.once('close', (code, signal) => {
    clearTimeout(timer);
    ended(signal ?? `exit code ${code}`);
  });
  return promise;
}
