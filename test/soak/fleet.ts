/**
 * Tasks on a server with two workers over scripted engines, while workers, the server and Redis are killed, the network
 * between them and Redis is cut, and the bucket, if there is one, goes away at random points.
 */

import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { editTask, ServerProcess } from '../e2e/server-process.ts';
import { CutProxy } from '../fixtures/cut-proxy.ts';
import { RedisProcess } from '../fixtures/redis-process.ts';
import { Storage } from '../fixtures/s3.ts';
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
  /** Images, plans and results are in a bucket: `s3rver`, or the address of another implementation's. */
  s3?: string | undefined;
};

export type FleetReport = Pick<SoakReport, 'images' | 'lost' | 'doubled' | 'errors' | 'failedRequests'> & {
  kills: Record<Victim, number>;
};

type Victim = 'worker' | 'front' | 'redis' | 'network' | 'bucket';

/** How often each is struck, in parts of the sum. */
const shares: Readonly<Record<Victim, number>> = {
  worker: 45,
  front: 20,
  redis: 15,
  network: 20,
  bucket: 20,
};
/** Milliseconds after which a worker is taken for lost. */
const lease = 1500;

export async function runFleetSoak({
  dataDir,
  tasks: count,
  kills,
  seed,
  durable,
  s3,
}: FleetSoak): Promise<FleetReport> {
  const random = createRandom(seed);
  const storage = s3 === undefined ? undefined : await Storage.start(s3 === 's3rver' ? undefined : s3);
  const victims = Object.entries(shares).filter(([victim]) => victim !== 'bucket' || storage) as [
    Victim,
    number,
  ][];
  // Images of earlier runs do not count.
  const bucketPrefix = `soak-${randomUUID()}/`;
  const bucket = storage ? { ...storage.env, RETOUCH_S3_PREFIX: bucketPrefix } : {};
  const redis = await RedisProcess.start(dataDir, { durable });
  const proxies = {
    front: await CutProxy.start(redis.port),
    a: await CutProxy.start(redis.port),
    b: await CutProxy.start(redis.port),
  };
  const workers: Record<'a' | 'b', WorkerProcess | undefined> = { a: undefined, b: undefined };
  let front: ServerProcess | undefined;
  const report: FleetReport = {
    ...emptyReport(),
    kills: { worker: 0, front: 0, redis: 0, network: 0, bucket: 0 },
  };

  const startWorker = async (name: 'a' | 'b') => {
    const env = {
      ...bucket,
      RETOUCH_REDIS: proxies[name].url,
      RETOUCH_DATA_DIR: join(dataDir, name),
      LEASE: String(lease),
    };
    workers[name] = await WorkerProcess.start(name, env);
  };
  const startFront = async () => {
    const env = {
      ...bucket,
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
    async bucket() {
      await storage!.pause();
      await sleep(lease * (0.5 + 2 * random()));
      await storage!.resume();
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
      const victim = pick(victims, random());
      report.kills[victim]++;
      await strike[victim]();
    }
    for (const task of waiting) await front!.post([task]);
    const stored = () =>
      storage ? storage.keys(bucketPrefix) : readdir(join(dataDir, 'front', 'images'), { recursive: true });
    await inspect({ server: front!, tasks, hooks: [], stored }, report);
  } finally {
    front?.child.kill('SIGKILL');
    for (const worker of Object.values(workers)) worker?.child.kill('SIGKILL');
    for (const proxy of Object.values(proxies)) proxy.close();
    await redis.kill();
    await storage?.stop();
  }
  return report;
}

/** `point` from 0 to 1. */
function pick(victims: readonly [Victim, number][], point: number): Victim {
  let rest = point * victims.reduce((sum, [, share]) => sum + share, 0);
  return victims.find(([, share]) => (rest -= share) < 0)![0];
}
