/**
 * Asks for /health over a new connection each time, every `interval` milliseconds until it is told to stop, in a thread of
 * its own: the time of the answers is not that of the thread which makes the load.
 */

import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, Worker, workerData } from 'node:worker_threads';

export type HealthTimes = {
  /** Milliseconds from the connection to the end of the answer, ascending. */
  times: number[];
  /** Why others were not answered with 200. */
  failures: string[];
};

type Target = { port: number; interval: number };

/** Ends a probe that nobody answers. */
const patience = 30_000;

export function startProbe(target: Target): { stop(): Promise<HealthTimes> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: target });
  const { promise, resolve, reject } = Promise.withResolvers<HealthTimes>();
  worker.once('message', resolve);
  worker.once('error', reject);
  return {
    stop() {
      worker.postMessage('stop');
      return promise;
    },
  };
}

if (parentPort) await probe(workerData as Target, parentPort);

async function probe({ port, interval }: Target, parent: NonNullable<typeof parentPort>): Promise<void> {
  const times: number[] = [];
  const failures: string[] = [];
  let stopped = false;
  parent.once('message', () => {
    stopped = true;
  });
  const open = new Set<Promise<void>>();
  while (!stopped) {
    const asked = askHealth(port).then(({ milliseconds, text }) => {
      if (/^HTTP\/1.1 200 [\s\S]*"status":"ok"/.test(text)) times.push(milliseconds);
      else failures.push(`after ${Math.round(milliseconds)} ms: ${text.slice(0, 200) || 'nothing'}`);
      open.delete(asked);
    });
    open.add(asked);
    await sleep(interval);
  }
  await Promise.all(open);
  times.sort((a, b) => a - b);
  parent.postMessage({ times, failures } satisfies HealthTimes);
}

/** Over a connection of its own; `text` is the whole answer, or why there is none. */
export function askHealth(port: number): Promise<{ milliseconds: number; text: string }> {
  const begin = performance.now();
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(patience, () => socket.destroy());
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    socket.on('data', (chunk) => (text += chunk));
    socket.on('error', (error) => (text ||= error.message));
    socket.on('close', () => resolve({ milliseconds: performance.now() - begin, text }));
  });
}
