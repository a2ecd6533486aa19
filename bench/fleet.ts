/**
 * Throughput of 1 to 32 engines that take 50 ms for an image, on the server's own machine and behind Redis; the processor
 * time of the server and of the worker for each image, which does not depend on what else the machine does; and by how
 * much one image alone takes longer than its 50 ms. Needs redis-server or valkey-server.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisProcess } from '../test/fixtures/redis-process.ts';
import { type Options, type Row, round } from './measure.ts';

const counts = [1, 2, 4, 8, 16, 32];
/** Milliseconds of one image, as in fleet-child.ts. */
const duration = 50;
/** Seconds in which the engines would make the images of one measurement if nothing else took time. */
const seconds = 4;
/** Images whose latency is measured one after the other. */
const single = 200;

type Running = {
  url: string;
  /** Milliseconds of processor time that the server, and the worker where there is one, have used. */
  computed(): Promise<number[]>;
  stop(): Promise<void>;
};

export async function fleet({ runs }: Options): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'retouch-bench-fleet-'));
  const redis = await RedisProcess.start(folder);
  const rows: Row[] = [];
  try {
    for (const [where, url] of [
      ['local', undefined],
      ['redis', redis.url],
    ] as const) {
      for (const engines of counts) {
        const server = await start(engines, url);
        const latency = engines === 1 ? await latencies(server.url) : undefined;
        const before = await server.computed();
        let [best, images] = [0, 0];
        for (let run = 0; run < Math.min(runs, 3); run++) {
          const found = await throughput(server.url, engines);
          images += found.images;
          best = Math.max(best, found.perSecond);
        }
        const after = await server.computed();
        const [front, worker] = after.map((time, index) => (time - before[index]!) / images);
        await server.stop();
        rows.push({
          engines: where,
          count: engines,
          'images/s': round(best, 1),
          'of linear': round((best * duration) / 1000 / engines, 3),
          'server (ms/image)': round(front!, 2),
          'worker (ms/image)': worker === undefined ? '' : round(worker, 2),
          'one alone p50 (ms)': latency ? round(latency.p50, 1) : '',
          'p99 (ms)': latency ? round(latency.p99, 1) : '',
        });
      }
    }
  } finally {
    await redis.kill();
    rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

async function start(engines: number, redis: string | undefined): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'retouch-bench-fleet-'));
  const shared = { PATH: process.env.PATH, RETOUCH_LOG_LEVEL: 'error' };
  const children: ChildProcess[] = [];
  const open = async (words: string[], env: Record<string, string>) => {
    const module = new URL('./fleet-process.ts', import.meta.url);
    const child = fork(module, words, {
      env: { ...shared, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    const [message] = await once(child, 'message');
    return message as { url: string };
  };
  const own = {
    RETOUCH_ENGINES: String(engines),
    RETOUCH_DATA_DIR: join(folder, 'server'),
    RETOUCH_PORT: '0',
  };
  const far = redis === undefined ? {} : { RETOUCH_REDIS: redis, RETOUCH_REDIS_PREFIX: randomUUID() };
  const limits = { RETOUCH_QUEUE_LIMIT: '20000', ...far };
  if (redis !== undefined)
    await open(['worker'], { ...own, ...limits, RETOUCH_DATA_DIR: join(folder, 'worker') });
  const { url } = await open([], {
    ...own,
    ...limits,
    ...(redis === undefined ? {} : { RETOUCH_ENGINES: '0' }),
  });
  // Every engine has a process, and the code of the server is warm.
  for (let i = 0; i < 3; i++) await make(url, Math.max(40, 3 * engines));
  const computed = () =>
    Promise.all(
      children.toReversed().map(async (child) => {
        child.send('computed');
        const [{ user, system }] = await once(child, 'message');
        return (user + system) / 1000;
      }),
    );
  const stop = async () => {
    for (const child of children.reverse()) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, computed, stop };
}

async function throughput(url: string, engines: number): Promise<{ images: number; perSecond: number }> {
  const images = Math.ceil((seconds * 1000 * engines) / duration / 20) * 20;
  const begun = performance.now();
  await make(url, images);
  return { images, perSecond: (1000 * images) / (performance.now() - begun) };
}

/** Resolves when all images are settled. */
async function make(url: string, images: number): Promise<void> {
  const tasks = Array.from({ length: Math.ceil(images / 20) }, () =>
    task({ deliveryMethod: 'async', numberResults: 20 }),
  );
  for (let i = 0; i < tasks.length; i += 50) await post(url, tasks.slice(i, i + 50));
  while ((await depth(url)) > 0) await sleep(10);
}

async function latencies(url: string): Promise<{ p50: number; p99: number }> {
  const all: number[] = [];
  for (let i = 0; i < single; i++) {
    const begun = performance.now();
    await post(url, [task({ deliveryMethod: 'sync' })]);
    all.push(performance.now() - begun - duration);
  }
  all.sort((a, b) => a - b);
  const at = (share: number) => all[Math.floor(share * (all.length - 1))]!;
  return { p50: at(0.5), p99: at(0.99) };
}

const task = (changes: object) => ({
  ...{ taskType: 'imageInference', taskUUID: randomUUID(), model: 'retouch:mini@1' },
  ...{ positivePrompt: 'make it green', steps: 1, outputFormat: 'PNG', ...changes },
});

async function post(url: string, tasks: object[]): Promise<void> {
  const body = JSON.stringify(tasks);
  const response = await fetch(`${url}/v1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (response.status !== 200 || text.includes('"errors"'))
    throw new Error(`Expected success, found ${text.slice(0, 500)}`);
}

async function depth(url: string): Promise<number> {
  const health = (await (await fetch(`${url}/health`)).json()) as { queue: { depth: number } };
  return health.queue.depth;
}
