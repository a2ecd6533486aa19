/**
 * Tests a device in a separate process: a driver may crash instead of reporting an error, and only a process can be
 * stopped when it hangs. After a crash a fresh process continues after the operator that caused it.
 */

import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { childEnvironment } from '../../../child-environment.ts';
import { programBeside } from '../../../program-beside.ts';
import type { DeviceName } from '../device.ts';
import type { AttentionShape } from './attention-cases.ts';
import { casesFor } from './cases.ts';
import type { FromChild } from './child.ts';
import type { ProductForm, ProductTimes } from './products.ts';
import { isSettled, noAnswer, type OperatorReport } from './run.ts';

export type Answers = {
  report: OperatorReport[];
  /** Why there is no such device. */
  missing?: string;
};

export type AskOptions = {
  /** The child's program; tests give a scripted one. */
  module?: URL;
  /**
   * Milliseconds that one operator may take: compiling its shaders takes a software device seconds. Fused attention, which
   * plain operators can replace, may take half of them.
   */
  patience?: number;
};

type End = { missing: string } | { crash: string } | 'done';

const defaultModule = programBeside(import.meta.url, 'child');

export async function askInProcess(
  device: DeviceName,
  { threads, shapes }: { threads: number; shapes: readonly AttentionShape[] },
  options: AskOptions = {},
): Promise<Answers> {
  const cases = casesFor(device, shapes);
  const report: OperatorReport[] = [];
  let numbers = cases.map((_, index) => index);
  while (numbers.length > 0) {
    let at = numbers[0]!;
    const args = [device, String(threads), numbers.join(), JSON.stringify(shapes)];
    const isSlow = () => cases[at]!.need.includes('attention');
    const end = await oneProcess(args, { ...options, halve: isSlow }, (message) => {
      if (message.type === 'asking') at = message.index;
      if (message.type === 'answer') report.push(message.line);
    });
    if (end === 'done') break;
    if ('missing' in end) return { report, missing: end.missing };
    report.push(noAnswer(cases[at]!, end.crash));
    const settled = report.filter((line) => !line.ok).map((line) => line.need);
    if (settled.includes('device')) break;
    numbers = numbers.filter((index) => index > at && !isSettled(cases[index]!.need, settled));
  }
  return { report };
}

/** The measurements of a process until it ended or took longer than `patience` over one form; forms may be missing. */
export async function measureInProcess(
  device: DeviceName,
  asked: { threads: number; forms: readonly ProductForm[]; half: boolean },
  { patience = 30_000, ...options }: AskOptions = {},
): Promise<ProductTimes> {
  const times: ProductTimes = {};
  const args = [device, String(asked.threads), 'products', JSON.stringify(asked)];
  await oneProcess(args, { ...options, patience, halve: () => false }, (message) => {
    if (message.type === 'product') times[message.form] = message.milliseconds;
  });
  return times;
}

function oneProcess(
  args: string[],
  { module = defaultModule, patience = 60_000, halve }: AskOptions & { halve: () => boolean },
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
    const time = halve() ? patience / 2 : patience;
    timer = setTimeout(() => {
      end ??= { crash: `no answer within ${time / 1000} s` };
      child.kill('SIGKILL');
    }, time);
  };
  wait();
  child.on('message', (message: FromChild) => {
    if (message.type === 'done') end = 'done';
    else if (message.type === 'missing')
      end = { missing: [message.reason.trim(), ...warnings.slice(0, 1)].join('; ') };
    else hear(message);
    wait();
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
