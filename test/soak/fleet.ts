/**
 * Tasks on a server with two workers over scripted engines, while workers, the server and Redis are killed and the
 * network between them and Redis is cut at random points.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { editTask, ServerProcess } from '../e2e/server-process.ts';
import { CutProxy } from '../fixtures/cut-proxy.ts';
import { RedisProcess } from '../fixtures/redis-process.ts';
import { WorkerProcess } from '../fixtures/worker-process.ts';
import { createRandom } from './random.ts';
import { emptyReport, inspect, type SoakReport } from './soak.ts';

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));

export type FleetSoak = {
  dataDir: string;
  tasks: number;
  kills: number;
  seed: number;
  /** Whether Redis keeps what it acknowledged when it is killed; otherwise it comes back empty. */
  durable: boolean;
};

export type FleetReport = Pick<SoakReport, 'images' | 'lost' | 'doubled' | 'errors' | 'failedRequests'> & {
  kills: Record<Victim, number>;
};

type Victim = 'worker' | 'front' | 'redis' | 'network';

/** Shares of the victims, which add up to 1. */
const shares: readonly [Victim, number][] = [
  ['worker', 0.45],
  ['front', 0.2],
  ['redis', 0.15],
  ['network', 0.2],
];
/** Milliseconds after which a worker is taken for lost. */
const lease = 1500;

export async function runFleetSoak({
  dataDir,
  tasks: count,
  kills,
  seed,
  durable,
}: FleetSoak): Promise<FleetReport> {
  const random = createRandom(seed);
  const redis = await RedisProcess.start(dataDir, { durable });
  const proxies = {
    front: await CutProxy.start(redis.port),
    a: await CutProxy.start(redis.port),
    b: await CutProxy.start(redis.port),
  };
  const workers: Record<'a' | 'b', WorkerProcess | undefined> = { a: undefined, b: undefined };
  let front: ServerProcess | undefined;
  const report: FleetReport = { ...emptyReport(), kills: { worker: 0, front: 0, redis: 0, network: 0 } };

  const startWorker = async (name: 'a' | 'b') => {
    const env = {
      RETOUCH_REDIS: proxies[name].url,
      RETOUCH_DATA_DIR: join(dataDir, name),
      LEASE: String(lease),
    };
    workers[name] = await WorkerProcess.start(name, env);
  };
  const startFront = async () => {
    const env = {
      RETOUCH_REDIS: proxies.front.url,
      RETOUCH_LOG_LEVEL: 'error',
      RETOUCH_QUEUE_LIMIT: '10000',
    };
    front = await ServerProcess.start({
      dataDir: join(dataDir, 'front'),
      env,
      command: [process.execPath, script],
    });
  };

  const strike: Record<Victim, () => Promise<void>> = {
    async worker() {
      const name = random() < 0.5 ? 'a' : 'b';
      await workers[name]!.stop('SIGKILL');
      await sleep(random() * 500);
      await startWorker(name);
    },
    async front() {
      front!.child.kill('SIGKILL');
      await front!.exit;
      await startFront();
    },
    async redis() {
      await redis.kill();
      await sleep(random() * 1000);
      await redis.start();
    },
    async network() {
      const proxy = Object.values(proxies)[Math.floor(random() * 3)]!;
      proxy.cut();
      await sleep(lease * (0.5 + 2 * random()));
      proxy.heal();
    },
  };

  try {
    await Promise.all([startFront(), startWorker('a'), startWorker('b')]);
    const tasks = Array.from({ length: count }, (_, index) =>
      editTask({
        positivePrompt: index % 5 === 0 ? 'slow slow slow slow' : 'step slow step',
        deliveryMethod: 'async',
        seed: index * 10,
        numberResults: 1 + (index % 3),
        outputFormat: 'PNG',
      }),
    );
    const waiting = [...tasks];
    for (let done = 0; done < kills; done++) {
      // As clients do: what was not answered is asked for again, and a conflict means that it was accepted.
      for (const task of waiting.slice(0, Math.ceil(count / kills))) {
        const answer = await front!.post([task]).catch(() => undefined);
        const code = answer?.body.errors?.[0]?.code;
        if (!answer) break;
        if (code && code !== 'conflictTaskUUID') throw new Error(`Expected acceptance, found ${answer.text}`);
        waiting.shift();
      }
      await sleep(random() * 600);
      const victim = pick(random());
      report.kills[victim]++;
      await strike[victim]();
    }
    for (const task of waiting) await front!.post([task]);
    await inspect({ server: front!, dataDir: join(dataDir, 'front'), tasks, hooks: [] }, report);
  } finally {
    front?.child.kill('SIGKILL');
    for (const worker of Object.values(workers)) worker?.child.kill('SIGKILL');
    for (const proxy of Object.values(proxies)) proxy.close();
    await redis.kill();
  }
  return report;
}

function pick(point: number): Victim {
  let passed = 0;
  for (const [victim, share] of shares) {
    passed += share;
    if (point < passed) return victim;
  }
  return 'worker';
}
