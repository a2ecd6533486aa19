/** A server for `bench fleet`, alone or with one worker behind Redis, each in a process of its own. */

import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Started, Used } from './fleet-process.ts';

const folders: string[] = [];
// At the end: a file system that has just removed thousands of files is slow at making others.
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export type FleetStart = {
  engines: number;
  /** Threads of all engines together. */
  threads?: number;
  /** URL of Redis; without it the engines are the server's own. */
  redis: string | undefined;
  /** Engines that only take time, or those that the product has. */
  kind: 'scripted' | 'real';
};

export class FleetServer {
  readonly url: string;
  readonly #processes: ChildProcess[];

  private constructor(url: string, processes: ChildProcess[]) {
    this.url = url;
    this.#processes = processes;
  }

  static async start({ engines, threads = 0, redis, kind }: FleetStart): Promise<FleetServer> {
    const folder = mkdtempSync(join(tmpdir(), 'retouch-bench-fleet-'));
    folders.push(folder);
    const processes: ChildProcess[] = [];
    const open = async (role: 'server' | 'worker', env: Record<string, string>): Promise<Started> => {
      const child = fork(new URL('./fleet-process.ts', import.meta.url), [role, kind], {
        env: {
          ...{ PATH: process.env.PATH, RETOUCH_LOG_LEVEL: 'error', RETOUCH_PORT: '0' },
          ...{ RETOUCH_QUEUE_LIMIT: '100000', RETOUCH_DATA_DIR: join(folder, role) },
          ...env,
        },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      processes.push(child);
      const failed = once(child, 'exit').then(([code]) => {
        throw new Error(`The ${role} ended with exit code ${code} instead of starting.`);
      });
      const [started] = await Promise.race([once(child, 'message'), failed]);
      return started as Started;
    };
    const own = { RETOUCH_ENGINES: String(engines), RETOUCH_THREADS: String(threads) };
    const far = redis === undefined ? {} : { RETOUCH_REDIS: redis, RETOUCH_REDIS_PREFIX: randomUUID() };
    if (redis !== undefined) await open('worker', { ...own, ...far });
    const { url } = await open('server', redis === undefined ? own : { ...far, RETOUCH_ENGINES: '0' });
    return new FleetServer(url!, processes);
  }

  /** Time used so far by the server, and by the worker where there is one. */
  async used(): Promise<{ server: Used; worker: Used | undefined }> {
    const [server, worker] = await Promise.all(
      this.#processes.toReversed().map(async (child) => {
        child.send('used');
        const [used] = await once(child, 'message');
        return used as Used;
      }),
    );
    return { server: server!, worker };
  }

  async stop(): Promise<void> {
    for (const child of this.#processes.toReversed()) {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    }
  }
}
