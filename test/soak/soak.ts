/** Tasks on a server over the scripted engine, while the server's and the engine's processes are killed at random points. */

import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Answer, editTask, ServerProcess, type Task } from '../e2e/server-process.ts';
import { createRandom } from './random.ts';

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));

export type Soak = { dataDir: string; tasks: number; kills: number; seed: number };

export type SoakReport = {
  images: number;
  serverKills: number;
  engineKills: number;
  /** Kills while images waited or were being made; the others test only the start. */
  busyKills: number;
  /** Images, stored files and webhooks that should exist and do not. */
  lost: number;
  /** Results beyond those asked for, repeated seeds or UUIDs, and stored files and webhooks that no result names. */
  doubled: number;
  /** Images that ended in an error, by its code. */
  errors: Record<string, number>;
  /** Requests of which at least one image ended in an error; no request is at fault. */
  failedRequests: number;
};

export async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await sleep(20);
  }
}

export function poll(server: ServerProcess, { taskUUID }: Task): Promise<Answer> {
  return server.post([{ taskType: 'getResponse', taskUUID }]);
}

export const isOpen = ({ body }: Answer) => body.data.some(({ status }) => status === 'processing');

/** The receiver's messages, by the UUID of the picture or of the error's task. */
class Receiver {
  readonly hooks: string[] = [];
  readonly server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { data, errors } = JSON.parse(Buffer.concat(chunks).toString());
    this.hooks.push(data?.[0].imageUUID ?? errors[0].taskUUID);
    response.end();
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }
}

function start(dataDir: string): Promise<ServerProcess> {
  const env = {
    RETOUCH_ALLOW_PRIVATE_NETWORK: '1',
    RETOUCH_LOG_LEVEL: 'error',
    RETOUCH_QUEUE_LIMIT: '10000',
  };
  return ServerProcess.start({ dataDir, env, command: [process.execPath, script] });
}

/** False when the process ended of itself before. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

async function hasImages(server: ServerProcess): Promise<boolean> {
  return (await server.health()).queue.depth > 0;
}

export async function runSoak({ dataDir, tasks: count, kills, seed }: Soak): Promise<SoakReport> {
  const random = createRandom(seed);
  const receiver = new Receiver();
  const webhookURL = await receiver.listen();
  const tasks = Array.from({ length: count }, (_, index) =>
    editTask({
      positivePrompt: 'step step step',
      deliveryMethod: 'async',
      seed: index * 10,
      numberResults: 1 + (index % 3),
      outputFormat: 'PNG',
      ...(index % 4 === 0 ? { webhookURL } : {}),
    }),
  );
  const report = emptyReport();
  let server: ServerProcess | undefined;
  try {
    const waiting = [...tasks];
    // Some lives of the server have two kills; the tasks are spread over all lives.
    const share = Math.ceil((1.3 * count) / kills);
    while (waiting.length > 0 || report.serverKills + report.engineKills < kills) {
      server = await start(dataDir);
      const running = server;
      const victim = random() < 0.3 ? 'engine' : 'server';
      const killed = sleep(20 + random() * 250).then(async () => {
        const engine = victim === 'engine' ? running.enginePid() : undefined;
        if (engine === undefined) return;
        const isBusy = await hasImages(running);
        if (!kill(engine)) return;
        report.engineKills++;
        if (isBusy) report.busyKills++;
      });
      // Like clients: a task without an answer is sent again, and a conflict means that it was accepted.
      for (const task of waiting.slice(0, share)) {
        const answer = await server.post([task]).catch(() => undefined);
        if (!answer) break;
        const code = answer.body.errors?.[0]?.code;
        if (code && code !== 'conflictTaskUUID') throw new Error(`Expected acceptance, found ${answer.text}`);
        waiting.shift();
      }
      await killed;
      await sleep(random() * 150);
      if (await hasImages(server)) report.busyKills++;
      report.serverKills++;
      server.child.kill('SIGKILL');
      await server.exit;
    }
    server = await start(dataDir);
    const stored = () => readdir(join(dataDir, 'images'), { recursive: true });
    await inspect({ server, tasks, hooks: receiver.hooks, stored }, report);
  } finally {
    server?.child.kill('SIGKILL');
    receiver.server.close();
  }
  return report;
}

export function emptyReport(): SoakReport {
  return {
    images: 0,
    serverKills: 0,
    engineKills: 0,
    busyKills: 0,
    lost: 0,
    doubled: 0,
    errors: {},
    failedRequests: 0,
  };
}

type Inspected = {
  server: ServerProcess;
  tasks: readonly Task[];
  hooks: readonly string[];
  /** Names of the stored images. */
  stored: () => Promise<string[]>;
};

/** Counts what is missing and what is too much, when all that was accepted has ended. */
export async function inspect(
  { server, tasks, hooks, stored: list }: Inspected,
  report: Pick<SoakReport, 'images' | 'lost' | 'doubled' | 'errors' | 'failedRequests'>,
): Promise<void> {
  const pictures: string[] = [];
  const hooked = new Set<string>();
  for (const task of tasks) {
    // With an empty queue an open result is lost: nothing will settle it, so the wait ends here.
    const { body } = await until(async () => {
      const isIdle = !(await hasImages(server));
      const answer = await poll(server, task);
      return isOpen(answer) && !isIdle ? undefined : answer;
    });
    const data = body.data.filter(({ status }) => status !== 'processing');
    const errors = body.errors ?? [];
    const first = Number(task.seed);
    const asked = Number(task.numberResults);
    report.images += asked;
    report.lost += Math.max(0, asked - data.length - errors.length);
    report.doubled += Math.max(0, data.length + errors.length - asked);
    for (const { code } of errors) report.errors[code] = (report.errors[code] ?? 0) + 1;
    if (errors.length > 0) report.failedRequests++;
    const seeds = new Set(data.map(({ seed }) => Number(seed)));
    report.doubled += data.length - seeds.size;
    for (const seed of seeds)
      if (seed < first || seed >= first + asked)
        throw new Error(`Expected seeds from ${first} to ${first + asked - 1}, found ${seed}`);
    pictures.push(...data.map(({ imageUUID }) => String(imageUUID)));
    if (!task.webhookURL) continue;
    for (const { imageUUID } of data) hooked.add(String(imageUUID));
    for (const { taskUUID } of errors) hooked.add(String(taskUUID));
  }
  const files = (await list()).filter((name) => name.endsWith('.png')).map((name) => name.slice(-40, -4));
  const stored = new Set(files);
  const answered = new Set(pictures);
  report.doubled += pictures.length - answered.size;
  report.doubled += files.filter((uuid) => !answered.has(uuid)).length;
  report.lost += pictures.filter((uuid) => !stored.has(uuid)).length;
  // A webhook may come twice when its sender was killed in the moment of its arrival, but never not at all.
  const deadline = performance.now() + 60_000;
  const missing = () => [...hooked].filter((uuid) => !hooks.includes(uuid)).length;
  while (missing() > 0 && performance.now() < deadline) await sleep(50);
  report.lost += missing();
  report.doubled += [...new Set(hooks)].filter((uuid) => !hooked.has(uuid)).length;
}
