/** `retouch serve` in a separate process, with the real engine, for tests from outside. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringifyJson } from '../../src/api/json.ts';

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
/** Address of a Redis: servers have their engine in a worker behind it. */
const redis = process.env.TEST_FLEET;

export type Task = Record<string, unknown>;
export type Item = Record<string, unknown> & { imageURL: string };
type ErrorItem = { code: string; message: string; parameter?: unknown; taskUUID?: string };

export type Answer = {
  status: number;
  text: string;
  body: { data: Item[]; errors?: ErrorItem[]; error?: ErrorItem };
};

export type Health = {
  status: string;
  engine: { state: string; restarts: number };
  queue: { depth: number };
};

export type Start = {
  dataDir: string;
  env?: Record<string, string>;
  flags?: readonly string[];
  /** The command that replaces `retouch serve`. */
  command?: readonly [program: string, ...words: string[]];
};

/** A task with few steps; `changes` decide the rest. */
export function editTask(changes: Task = {}): Task {
  return {
    taskType: 'imageInference',
    taskUUID: randomUUID(),
    model: 'retouch:mini@1',
    positivePrompt: 'make the background green',
    steps: 2,
    ...changes,
  };
}

/** A picture as a data URI. */
export function dataUri(bytes: Uint8Array, type = 'image/png'): string {
  return `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;
}

export class ServerProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
  stdout = '';
  stderr = '';

  readonly #worker: FleetMember | undefined;

  private constructor({ dataDir, env = {}, flags = [], command }: Start, worker?: FleetMember) {
    const [file, ...words] = command ?? [process.execPath, program, 'serve', ...flags];
    this.#worker = worker;
    this.child = spawn(file, words, {
      env: {
        PATH: process.env.PATH,
        HOME: dataDir,
        RETOUCH_PORT: '0',
        RETOUCH_DATA_DIR: dataDir,
        ...worker?.env,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.on('data', (text) => (this.stdout += text));
    this.child.stderr!.on('data', (text) => (this.stderr += text));
    this.exit = once(this.child, 'close').then(([code, signal]) => ({ code, signal }));
  }

  /** Not yet listening, perhaps never. */
  static launch(start: Start): ServerProcess {
    return new ServerProcess(start);
  }

  /** Over a fleet its engine is in a worker, which starts and stops with it. */
  static async start(start: Start): Promise<ServerProcess> {
    const worker = redis === undefined ? undefined : FleetMember.launch(redis, start.dataDir);
    const server = new ServerProcess(start, worker);
    await Promise.all([Promise.race([server.listening(), server.exit]), worker?.serving]);
    if (!server.address) throw new Error(`The server did not start: ${server.stderr}`);
    return server;
  }

  get url(): string {
    return this.address!;
  }

  private get address(): string | undefined {
    return /^Retouch listening on (http:\S+)\n/.exec(this.stdout)?.[1];
  }

  private async listening(): Promise<void> {
    while (!this.address) await once(this.child.stdout!, 'data');
  }

  async post(body: string | Uint8Array | Task[], signal?: AbortSignal): Promise<Answer> {
    const payload = typeof body === 'string' || body instanceof Uint8Array ? body : stringifyJson(body);
    const response = await fetch(`${this.url}/v1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: payload as string,
      ...(signal ? { signal } : {}),
    });
    const text = await response.text();
    return { status: response.status, text, body: JSON.parse(text) };
  }

  /** Sends one task and returns the answer, also an error. */
  edit(changes: Task = {}, signal?: AbortSignal): Promise<Answer> {
    return this.post([editTask(changes)], signal);
  }

  /** The bytes of the only picture of a task that must succeed. */
  async draw(changes: Task = {}): Promise<Buffer> {
    const { text, body } = await this.edit({ outputFormat: 'PNG', ...changes });
    if (body.data.length !== 1) throw new Error(`Expected one picture, found ${text.slice(0, 500)}`);
    return download(body.data[0]!.imageURL);
  }

  async health(): Promise<Health> {
    const response = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`/health answered ${response.status}`);
    return (await response.json()) as Health;
  }

  /** The engine's process, found in /proc, since the server does not expose it. */
  enginePid(): number | undefined {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .find((pid) => isEngineOf(this.child.pid!, pid));
  }

  async stop(): Promise<{ code: number | null; signal: string | null }> {
    this.child.kill('SIGTERM');
    const [end] = await Promise.all([this.exit, this.#worker?.stop()]);
    return end;
  }
}

/** `retouch worker` beside a server. */
class FleetMember {
  /** Settings of the server. */
  readonly env: Record<string, string>;
  /** Resolves when it takes images; rejects when it ends instead. */
  readonly serving: Promise<void>;
  readonly #child: ChildProcess;

  private constructor(env: Record<string, string>, dataDir: string) {
    this.env = env;
    this.#child = spawn(process.execPath, [program, 'worker'], {
      env: { PATH: process.env.PATH, HOME: dataDir, RETOUCH_DATA_DIR: join(dataDir, 'worker'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    this.serving = new Promise((resolve, reject) => {
      const hear = (text: Buffer) => {
        said += text;
        if (said.includes('takes images from')) resolve();
      };
      this.#child.stdout!.on('data', hear);
      this.#child.stderr!.on('data', hear);
      this.#child.once('exit', () => reject(new Error(`The worker did not start: ${said}`)));
    });
  }

  static launch(redis: string, dataDir: string): FleetMember {
    return new FleetMember({ RETOUCH_REDIS: redis, RETOUCH_REDIS_PREFIX: randomUUID() }, dataDir);
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

export async function download(url: string): Promise<Buffer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

function isEngineOf(parent: number, pid: number): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    // pid (name) state parent …; the name may have spaces and brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (
      /(engine\/process\/|scripted-)child\.[jt]s/.test(command) && state !== 'Z' && Number(ppid) === parent
    );
  } catch {
    // It went between the two looks.
    return false;
  }
}
