import { fork } from 'node:child_process';
import { childEnvironment } from '../../child-environment.ts';
import { programBeside } from '../../program-beside.ts';
import type { Measurable, Rates } from './rates.ts';

/** Milliseconds after which the measuring process is taken for hung. */
const patience = 120_000;

/**
 * Rates measured in a process of their own, since computing blocks the thread of a server. Undefined where they cannot be
 * measured: a forecast is not worth an error.
 */
export function askRates(precisions: readonly Measurable[], threads: number): Promise<Rates | undefined> {
  const module = programBeside(import.meta.url, 'child');
  const child = fork(module, [String(threads), precisions.join()], {
    execArgv: [],
    env: childEnvironment(process.env),
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: patience,
  });
  const { promise, resolve } = Promise.withResolvers<Rates | undefined>();
  child.once('message', (rates) => resolve(rates as Rates));
  child.once('error', () => resolve(undefined));
  child.once('close', () => resolve(undefined));
  return promise;
}
