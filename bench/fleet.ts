/**
 * Several engines, on the server's own machine and behind Redis, in five parts (all of them unless some are named):
 *
 * - `local`, `redis`: throughput with 1 to 32 engines that take 50 ms for an image, and by how much an image takes longer
 *   than that when it waits for no engine
 * - `limit`: throughput with engines that take no time
 * - `cancel`: the time from the cancellation of an image to the end of its run, whose steps take 5 ms, on a worker
 * - `real`: the embedded model with one engine of two threads, and with two of one thread
 *
 * "Busy" is the share of time in which a main thread did not wait for events. Needs redis-server or valkey-server.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { LocalEngines } from '../src/engine/process/local-engines.ts';
import { openTestFleet } from '../test/fixtures/fleet.ts';
import { scriptedPlan } from '../test/fixtures/plans.ts';
import { RedisProcess } from '../test/fixtures/redis-process.ts';
import { latencies, makeAll, scriptedTask, type Task } from './fleet-client.ts';
import { FleetServer, type FleetStart } from './fleet-server.ts';
import { type Options, type Row, round } from './measure.ts';

const counts = [1, 2, 4, 8, 16, 32];
/** Milliseconds of one image. */
const duration = 50;
/** Seconds in which the engines would make the images of one measurement if nothing else took time. */
const seconds = 4;
/** Images whose latency is measured. */
const latencyImages = 300;
/** Images after which a server has optimized code and a process for each engine. */
const warmUp = 800;
/** Engines that take no time: one is always free. */
const limitEngines = 4;
const limitImages = 4000;
const cancels = 60;
const realImages = 40;
const realTask: Task = {
  ...{ taskType: 'imageInference', model: 'retouch:mini@1', positivePrompt: 'make the background green' },
  ...{ width: 1024, height: 1024, steps: 28, outputFormat: 'PNG' },
};

const parts: Record<string, (runs: number) => Promise<Row[]>> = {
  local: (runs) => scaling(undefined, runs),
  redis: (runs) => withRedis((redis) => scaling(redis, runs)),
  limit: async (runs) => [await limit(undefined, runs), await withRedis((redis) => limit(redis, runs))],
  cancel: () => withRedis(cancel),
  real: async (runs) => [
    await real({ engines: 1, redis: undefined }, runs),
    await real({ engines: 2, redis: undefined }, runs),
    await withRedis((redis) => real({ engines: 2, redis }, runs)),
  ],
};

export const fleetParts = Object.keys(parts);

export async function fleet({ runs, rest }: Options): Promise<Row[]> {
  const rows: Row[] = [];
  for (const part of rest.length > 0 ? rest : fleetParts) rows.push(...(await parts[part]!(runs)));
  return rows;
}

async function scaling(redis: string | undefined, runs: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const engines of counts) {
    const linear = (1000 * engines) / duration;
    const task = scriptedTask(duration);
    const found = await using({ engines, redis, kind: 'scripted' }, async (server) => {
      await makeAll(server.url, scriptedTask(0), warmUp);
      const made = await throughput(server, { task, images: seconds * linear, runs });
      // One after the other, or with every second engine busy.
      const rate = engines === 1 ? {} : { perSecond: linear / 2 };
      const times = await latencies(server.url, task, { count: latencyImages, ...rate });
      return { ...made, times: times.map((time) => time - duration) };
    });
    rows.push(toRow(redis ? 'redis' : 'local', engines, { ...found, linear }));
  }
  return rows;
}

async function limit(redis: string | undefined, runs: number): Promise<Row> {
  const task = scriptedTask(0);
  const found = await using({ engines: limitEngines, redis, kind: 'scripted' }, async (server) => {
    await makeAll(server.url, task, 2 * warmUp);
    return throughput(server, { task, images: limitImages, runs });
  });
  return toRow(redis ? 'limit, redis' : 'limit, local', limitEngines, found);
}

/** The worker is in this process and its engine in a child, so that one clock measures both ends. */
async function cancel(redis: string): Promise<Row[]> {
  let left = Promise.withResolvers<void>();
  const engines = new LocalEngines({
    devices: [{ device: 'cpu', index: 0 }],
    childModule: new URL('../test/fixtures/scripted-child.ts', import.meta.url),
    log: (line) => line.includes('left after') && left.resolve(),
  });
  const { front, close } = await openTestFleet(redis, { workers: [engines], lease: 15_000 });
  const times: number[] = [];
  while (times.length < cancels) {
    left = Promise.withResolvers();
    const stop = new AbortController();
    let [steps, begun] = [0, 0];
    const ended = (async () => {
      for await (const { type } of front.run(scriptedPlan('step '.repeat(2000).trim()), stop.signal)) {
        if (type !== 'step-end' || ++steps !== 3 + (times.length % 5)) continue;
        begun = performance.now();
        stop.abort();
      }
    })();
    await Promise.all([ended.catch(() => {}), left.promise]);
    times.push(performance.now() - begun);
  }
  await close();
  return [toRow('cancel', 1, { times })];
}

async function real({ engines, redis }: Pick<FleetStart, 'engines' | 'redis'>, runs: number): Promise<Row> {
  const threads = 2;
  const found = await using({ engines, threads, redis, kind: 'real' }, async (server) => {
    await makeAll(server.url, realTask, 4);
    const made = await throughput(server, { task: realTask, images: realImages, runs });
    return { ...made, times: await latencies(server.url, realTask, { count: 20 }) };
  });
  const where = redis ? ', redis' : '';
  return toRow(`real, ${threads / engines} threads each${where}`, engines, found);
}

type Throughput = {
  perSecond: number;
  /** Processor time of an image in milliseconds. */
  server: number;
  worker: number | undefined;
  /** Shares of the time of the fastest run. */
  serverBusy: number;
  workerBusy: number | undefined;
  machineBusy: number;
};

/** The fastest of some runs, the least disturbed by other work on the machine. */
async function throughput(
  server: FleetServer,
  { task, images, runs }: { task: Task; images: number; runs: number },
): Promise<Throughput> {
  let best: Throughput | undefined;
  for (let run = 0; run < runs; run++) {
    const [before, machineBefore] = [await server.used(), machineTime()];
    const took = await makeAll(server.url, task, images);
    const [after, machine] = [await server.used(), machineTime() - machineBefore];
    const perSecond = images / took;
    if (best && best.perSecond >= perSecond) continue;
    const share = (part: 'computed' | 'busy', whole: number) => (role: 'server' | 'worker') =>
      after[role] && (after[role][part] - before[role]![part]) / whole;
    const [perImage, busy] = [share('computed', images), share('busy', 1000 * took)];
    best = {
      perSecond,
      ...{ server: perImage('server')!, worker: perImage('worker') },
      ...{ serverBusy: busy('server')!, workerBusy: busy('worker') },
      machineBusy: machine / (os.cpus().length * 1000 * took),
    };
  }
  return best!;
}

/** Milliseconds that all cores together computed since the machine started; a wait for a disk is none. */
function machineTime(): number {
  return os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

type Measured = Throughput & {
  /** Images a second, if nothing but the engines took time. */
  linear?: number;
  /** Milliseconds of single images. */
  times?: readonly number[];
};

function toRow(part: string, engines: number, found: Partial<Measured>): Row {
  const { perSecond, linear, times = [] } = found;
  const shown = (value: number | undefined, digits: number) =>
    value === undefined ? '' : round(value, digits);
  return {
    part,
    engines,
    'images/s': shown(perSecond, 1),
    'of linear': shown(perSecond !== undefined && linear !== undefined ? perSecond / linear : undefined, 3),
    ...percentiles(times),
    'server (ms/image)': shown(found.server, 2),
    'worker (ms/image)': shown(found.worker, 2),
    'server busy': shown(found.serverBusy, 2),
    'worker busy': shown(found.workerBusy, 2),
    'machine busy': shown(found.machineBusy, 2),
  };
}

function percentiles(times: readonly number[]): Row {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted.length === 0 ? '' : round(sorted[Math.floor(share * (sorted.length - 1))]!, 1);
  return { 'p50 (ms)': at(0.5), 'p99 (ms)': at(0.99) };
}

async function using<Result>(
  start: FleetStart,
  measure: (server: FleetServer) => Promise<Result>,
): Promise<Result> {
  const server = await FleetServer.start(start);
  try {
    return await measure(server);
  } finally {
    await server.stop();
  }
}

async function withRedis<Result>(measure: (redis: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(os.tmpdir(), 'retouch-bench-redis-'));
  const redis = await RedisProcess.start(folder);
  try {
    return await measure(redis.url);
  } finally {
    await redis.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
