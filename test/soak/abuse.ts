/**
 * Requests that no honest client sends, and WebSockets all at once, against a server of a real process with little memory
 * and few descriptors, while another thread asks for /health.
 */

import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '../e2e/server-process.ts';
import { askHealth, type HealthTimes, startProbe } from './health-probe.ts';
import { HeldSockets, misbehave } from './hostile-client.ts';
import { hostileRequest } from './hostile-requests.ts';
import { Dice } from './random.ts';

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));

const heapLimit = 512;
const descriptorLimit = 256;
const key = 'a-key-of-this-run';

/** A server over the scripted engine with these limits. */
export function startLimited(dataDir: string, env: Record<string, string> = {}): Promise<ServerProcess> {
  return ServerProcess.start({
    dataDir,
    env: { RETOUCH_LOG_LEVEL: 'warn', RETOUCH_API_KEYS: key, ...env },
    command: [
      ...(['sh', '-c', `ulimit -n ${descriptorLimit} && exec "$0" "$@"`, process.execPath] as const),
      ...[`--max-old-space-size=${heapLimit}`, '--expose-gc', script],
    ],
  });
}

export type Abuse = { dataDir: string; requests: number; sockets: number; seed: number };

type Held = { descriptors: number; rss: number };

export type AbuseReport = {
  /** Number of requests by status; those without an answer count as 0. */
  statuses: Record<number, number>;
  upgraded: number;
  health: HealthTimes;
  /** After a tenth of the load, which compiles the code and starts the engine. */
  before: Held;
  most: Held;
  after: Held;
  /** Seconds that the server's main thread computed, and that it was ready to while other processes had the processors. */
  computed: number;
  starved: number;
  /** Lines of the server's log about its own faults. */
  faults: string[];
  /** It ended before it was told to. */
  ended: boolean;
};

/** Linux only: looks into /proc. */
export async function runAbuse({ dataDir, requests, sockets, seed }: Abuse): Promise<AbuseReport> {
  const dice = new Dice(seed);
  const server = await startLimited(dataDir);
  try {
    await attack({ server, requests: requests / 10, sockets: sockets / 10, dice });
    const before = await settled(server);
    const clock = await readClock(server);
    const probe = startProbe({ port: portOf(server), interval: 50 });
    const most = { ...before };
    const watch = setInterval(async () => {
      const held = await look(server);
      most.descriptors = Math.max(most.descriptors, held.descriptors);
      most.rss = Math.max(most.rss, held.rss);
    }, 100);
    const attacked = await attack({ server, requests, sockets, dice });
    const health = await probe.stop();
    clearInterval(watch);
    const [computed, starved] = (await readClock(server)).map((seconds, i) => seconds - clock[i]!) as [
      number,
      number,
    ];
    const after = await settled(server, before.descriptors);
    const faults = server.stderr.split('\n').filter((line) => /bug|unhandled|EMFILE/i.test(line));
    const ended = server.child.exitCode !== null;
    return { ...attacked, health, before, most, after, computed, starved, faults, ended };
  } finally {
    await server.stop();
  }
}

type Attack = { server: ServerProcess; requests: number; sockets: number; dice: Dice };

/** So many requests are under way at once. */
const width = 200;
/** The WebSockets come at once, and once they are answered are held for this many milliseconds, while requests go on. */
const held = 3_000;

async function attack({ server, requests, sockets, dice }: Attack) {
  const port = portOf(server);
  const statuses: Record<number, number> = {};
  let left = requests;
  let holding: HeldSockets | undefined;
  const client = async () => {
    while (left-- > 0) {
      const found = await misbehave(port, hostileRequest(dice, key));
      for (const status of found.length > 0 ? found : [0]) statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  const flood = async () => {
    await sleep(300);
    holding = new HeldSockets(port, sockets, key);
    const deadline = performance.now() + 30_000;
    while (!holding.areAnswered && performance.now() < deadline) await sleep(50);
    await sleep(held);
    holding.drop();
  };
  await Promise.all([flood(), ...Array.from({ length: width }, client)]);
  return { statuses, upgraded: holding!.upgraded };
}

function portOf(server: ServerProcess): number {
  return Number(new URL(server.url).port);
}

/** In /proc, which Linux has. */
export async function look({ child: { pid } }: ServerProcess): Promise<Held> {
  const descriptors = (await readdir(`/proc/${pid}/fd`)).length;
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return { descriptors, rss: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024 };
}

/** Seconds of the main thread since its start: computing, and waiting for a processor. */
async function readClock({ child: { pid } }: ServerProcess): Promise<number[]> {
  const [ran, waited] = (await readFile(`/proc/${pid}/task/${pid}/schedstat`, 'utf8')).split(' ').map(Number);
  return [ran! / 1e9, waited! / 1e9];
}

/** Once all work has ended and no more than so many descriptors are open, or when they have not gone for 30 seconds. */
async function settled(server: ServerProcess, descriptors = 0): Promise<Held> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    const { text } = await askHealth(portOf(server));
    if (text.includes('"queue":{"depth":0,')) break;
    await sleep(100);
  }
  await sleep(2_000);
  while (descriptors > 0 && performance.now() < deadline) {
    const now = await look(server);
    if (now.descriptors <= descriptors) break;
    await sleep(100);
  }
  // Collects garbage, see scripted-server.ts.
  server.child.kill('SIGUSR2');
  await sleep(1_000);
  return look(server);
}
