/**
 * Asks a device from a process of its own: a driver may crash where another would report an error, and one that hangs
 * cannot be stopped otherwise. After a crash a fresh process goes on behind the operator that caused it.
 */
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { childEnvironment } from '../../../child-environment.ts';
import type { DeviceName } from '../device.ts';
import { casesFor } from './cases.ts';
import type { FromChild } from './child.ts';
import { noAnswer, type OperatorReport } from './run.ts';

export type Answers = {
  report: OperatorReport[];
  /** Why there is no such device. */
  missing?: string;
};

export type AskOptions = {
  /** The child's program; tests give a scripted one. */
  module?: URL;
  /** Milliseconds that one operator may take: compiling its shaders takes a software device seconds. */
  patience?: number;
};

type End = { missing: string } | { crash: string } | 'done';

const defaultModule = new URL(import.meta.url.endsWith('.ts') ? './child.ts' : './child.js', import.meta.url);

export async function askInProcess(
  device: DeviceName,
  threads: number,
  options: AskOptions = {},
): Promise<Answers> {
  const cases = casesFor(device);
  const report: OperatorReport[] = [];
  let numbers = cases.map((_, index) => index);
  while (numbers.length > 0) {
    let at = numbers[0]!;
    const end = await oneProcess([device, String(threads), numbers.join()], options, (message) => {
      if (message.type === 'asking') at = message.index;
      if (message.type === 'answer') report.push(message.line);
    });
    if (end === 'done') break;
    if ('missing' in end) return { report, missing: end.missing };
    report.push(noAnswer(cases[at]!, end.crash));
    const settled = report.filter((line) => !line.ok).map((line) => line.need);
    if (settled.includes('device')) break;
    numbers = numbers.filter((index) => index > at && !settled.includes(cases[index]!.need));
  }
  return { report };
}

function oneProcess(
  args: string[],
  { module = defaultModule, patience = 60_000 }: AskOptions,
  hear: (message: FromChild) => void,
): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>();
  const child = fork(module, args, {
    execArgv: [],
    env: childEnvironment(process.env),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const warnings: string[] = [];
  createInterface({ input: child.stderr! }).on('line', (line) => {
    if (line.startsWith('Warning: ')) warnings.push(line.slice('Warning: '.length));
  });
  let end: End | undefined;
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      end ??= { crash: `no answer within ${patience / 1000} s` };
      child.kill('SIGKILL');
    }, patience);
  };
  wait();
  child.on('message', (message: FromChild) => {
    wait();
    if (message.type === 'done') end = 'done';
    else if (message.type === 'missing')
      end = { missing: [message.reason, ...warnings.slice(0, 1)].join('; ') };
    else hear(message);
  });
  const finish = (otherwise: string) => {
    clearTimeout(timer);
    resolve(end ?? { crash: otherwise });
  };
  child.once('error', (cause) => finish(`its process could not be started: ${cause.message}`));
  child.once('close', (code, signal) =>
    finish(`the process ended with ${signal ? `signal ${signal}` : `exit code ${code}`}`),
  );
  return promise;
}
