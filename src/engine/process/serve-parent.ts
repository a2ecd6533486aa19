/**
 * The child's half of the process boundary: serves one parent over IPC until the parent exits. The parent sends one run
 * at a time. Every run ends in exactly one message, `end` or `error`; the operating system reports a crash. Printed
 * output reaches the parent's log.
 */

import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { toErrorData } from '../../error.ts';
import { programBeside } from '../../program-beside.ts';
import type { CreateEngine, Engine, EngineOptions } from '../engine.ts';
import { EngineError } from '../errors.ts';
import type { Plan } from '../plan.ts';
import type { FromChild, ToChild } from './messages.ts';

const parentWatch = programBeside(import.meta.url, 'parent-watch');

export function serveParent(createEngine: CreateEngine): void {
  let options: EngineOptions = { threads: 1, memoryLimit: 0, log: print };
  let engine: Engine | undefined;
  let current: { id: number; controller: AbortController } | undefined;

  // Ctrl-C and service managers signal the whole process group, but only the parent knows whether the run is to be
  // finished first. This process ends when its parent disconnects.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

  process.on('message', (message: ToChild) => {
    if (message.type === 'start') {
      options = { threads: message.threads, memoryLimit: message.memoryLimit, log: print };
      new Worker(parentWatch, { workerData: process.ppid }).unref();
      send({ type: 'ready' });
    } else if (message.type === 'run') {
      void run(message.id, message.plan);
    } else if (message.type === 'leave') {
      void leave();
    } else if (current?.id === message.id) {
      current.controller.abort();
    }
  });

  process.once('disconnect', leave);

  async function leave(): Promise<void> {
    // During a run the sessions are in use: releasing them is unsafe, and the system frees the memory.
    if (!current) await engine?.release().catch(() => {});
    process.exit(0);
  }

  // A parent that exited while this module was loading emits no disconnect event here.
  if (!process.connected) process.exit(0);

  async function run(id: number, plan: Plan): Promise<void> {
    const controller = new AbortController();
    current = { id, controller };
    try {
      engine ??= await createEngine(options);
      for await (const event of engine.run(plan, controller.signal)) {
        send({ type: 'event', id, event });
        await hearParent();
        if (controller.signal.aborted) throw new EngineError('engineAborted', 'The run was stopped.');
      }
      current = undefined;
      send({ type: 'end', id });
    } catch (error) {
      current = undefined;
      send({ type: 'error', id, error: toErrorData(error) });
    }
  }
}

/**
 * Lets a pending stop message arrive. Twice: computing blocks the thread for seconds, and when that happens inside the
 * event loop's poll phase the first immediate runs before the next poll.
 */
async function hearParent(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function send(message: FromChild): void {
  // The disconnect event reports a parent that has exited; the callback keeps the failed send from being thrown as well.
  process.send?.(message, undefined, undefined, () => {});
}
