import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type Answer,
  dataUri,
  editTask,
  type Health,
  ServerProcess,
  type Task,
} from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let folder: string;
let inputs: Task;
/** More work than any of these tests waits for. */
let endless: Task;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-fault-'));
  inputs = { referenceImages: [dataUri(await drawScene(128, 128))] };
  endless = { inputs, steps: 50, numberResults: 20 };
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await sleep(20);
  }
}

const isBusy = async (server: ServerProcess) => (await server.health()).engine.state === 'busy';
const isFree = async (server: ServerProcess) => (await server.health()).queue.depth === 0;

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`);
}

// Finding the engine's process takes /proc.
describe.runIf(existsSync('/proc/self/stat'))('an engine process that is killed', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start({ dataDir: join(folder, 'killed') });
    await server.draw({ inputs, steps: 1 });
  });

  afterAll(() => server?.stop());

  /** Once a step of the task is computed. */
  async function killEngine({ taskUUID }: Task): Promise<void> {
    const poll = { taskType: 'getResponse', taskUUID };
    await until(async () => Number((await server.post([poll])).body.data[0]?.progress) > 0);
    process.kill(await until(() => server.enginePid()), 'SIGKILL');
  }

  /** In the first run of the task, and again in the second try. */
  async function killEngineTwice(task: Task): Promise<void> {
    const { restarts } = (await server.health()).engine;
    await killEngine(task);
    await until(async () => (await server.health()).engine.restarts > restarts && (await isBusy(server)));
    process.kill(await until(() => server.enginePid()), 'SIGKILL');
  }

  it('once costs the client time and nothing else: the image is tried again on a fresh process', async () => {
    const task = editTask({ inputs, steps: 20, seed: 5 });
    const answer = server.post([task]);
    await killEngine(task);
    const { status, body } = await answer;
    expect([status, body.data.map(({ seed }) => seed)]).toEqual([200, [5]]);
  });

  it('twice in the middle of a request is one clear error, while /health answers throughout, and the next request works', async () => {
    const seen: Health[] = [];
    const watching = new AbortController();
    const watch = (async () => {
      while (!watching.signal.aborted) {
        seen.push(await server.health());
        await sleep(50);
      }
    })();
    const { restarts } = (await server.health()).engine;
    const task = editTask({ inputs, steps: 50 });
    const broken = server.post([task]);
    await killEngineTwice(task);
    const { status, body } = await broken;
    expect(status).toBe(500);
    expect(body.data).toEqual([]);
    expect(body.errors).toHaveLength(1);
    expect(body.error).toMatchObject({ code: 'engineCrashed', taskType: 'imageInference' });
    expect(body.error!.message).toMatch(/ended with signal SIGKILL while .+; the next run gets a fresh one/);

    await server.draw({ inputs, steps: 1 });
    watching.abort();
    await watch;
    expect(seen.length).toBeGreaterThan(1);
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set(['ok']));
    expect((await server.health()).engine).toMatchObject({ state: 'ready', restarts: restarts + 2 });
  });

  it('takes only the image with it that it was computing: what waits runs on a fresh process', async () => {
    const task = editTask({ inputs, steps: 50 });
    const first = server.post([task]);
    await until(() => isBusy(server));
    const second = server.edit({ inputs, steps: 1 });
    await killEngineTwice(task);
    expect((await first).body.error?.code).toBe('engineCrashed');
    expect((await second).status).toBe(200);
  });

  it('loses one of several results: the others are answered beside the error', async () => {
    const task = editTask({ inputs, steps: 20, numberResults: 2, seed: 5 });
    const answer = server.post([task]);
    await killEngineTwice(task);
    const { status, body } = await answer;
    expect(status).toBe(200);
    expect(body.data.map(({ seed }) => seed)).toEqual([6]);
    expect(body.errors?.map(({ code }) => code)).toEqual(['engineCrashed']);
  });

  it('between requests is nobody’s error', async () => {
    await server.draw({ inputs, steps: 1 });
    process.kill(await until(() => server.enginePid()), 'SIGKILL');
    await until(async () => (await server.health()).engine.state !== 'ready');
    expect((await server.edit({ inputs, steps: 1 })).status).toBe(200);
  });
});

describe('a server', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start({ dataDir: join(folder, 'busy') });
  });

  afterAll(() => server?.stop());

  it('answers two requests at once', async () => {
    const answers = await Promise.all([server.edit({ inputs, steps: 1 }), server.edit({ steps: 1 })]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.map(({ body }) => body.data.length)).toEqual([1, 1]);
  });

  it('stops a task that is cancelled at its next step, and the engine stays', async () => {
    const { restarts } = (await server.health()).engine;
    const task = editTask(endless);
    const answer = server.post([task]);
    await until(() => isBusy(server));
    const { body } = await server.post([{ taskType: 'cancelTask', taskUUID: task.taskUUID }]);
    expect(body.data).toMatchObject([{ cancelledResults: 20 }]);
    expect((await answer).body.errors?.map(({ code }) => code)).toEqual(['taskCancelled']);
    await until(() => isFree(server));
    await server.draw({ inputs, steps: 1 });
    expect((await server.health()).engine).toMatchObject({ state: 'ready', restarts });
  });

  it('goes on for a client that has gone', async () => {
    const task = editTask({ inputs, steps: 10 });
    const client = new AbortController();
    const gone = server.post([task], client.signal).catch((error: Error) => error.name);
    await until(() => isBusy(server));
    client.abort();
    expect(await gone).toBe('AbortError');
    const poll = { taskType: 'getResponse', taskUUID: task.taskUUID };
    await until(async () => (await server.post([poll])).body.data[0]?.status === 'success');
  });
});

describe('a stop signal', () => {
  const servers: ServerProcess[] = [];
  const sockets: Socket[] = [];

  afterEach(() => {
    for (const { child } of servers.splice(0)) child.kill('SIGKILL');
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  async function start(timeout: string): Promise<ServerProcess> {
    const env = { RETOUCH_SHUTDOWN_TIMEOUT: timeout, RETOUCH_ALLOW_PRIVATE_NETWORK: '1' };
    const dataDir = await mkdtemp(join(folder, 'stopped-'));
    const server = await ServerProcess.start({ dataDir, env });
    servers.push(server);
    return server;
  }

  it('lets a request end that ends in time', async () => {
    const server = await start('60');
    const answer = server.edit({ inputs, steps: 2 });
    await until(() => isBusy(server));
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect((await answer).body.data).toHaveLength(1);
  });

  it('ends a longer request with one error, and both processes', async () => {
    const server = await start('1');
    const answer = server.edit(endless);
    await until(() => isBusy(server));
    const engine = server.enginePid();
    const [{ status, body }, exit] = await Promise.all([answer, server.stop()]);
    expect(exit).toEqual({ code: 0, signal: null });
    expect(status).toBe(503);
    expect(body.errors?.map(({ code }) => code)).toEqual(['serverUnavailable']);
    if (engine !== undefined) await until(() => !isRunning(engine));
  });

  it('does not wait for a client that sends slowly', async () => {
    const server = await start('1');
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write('POST /v1 HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\n[{');
    await sleep(200);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  });

  it('does not wait for a picture that does not come', async () => {
    const silent: Server = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const server = await start('1');
    const answer: Promise<Answer | undefined> = server
      .edit({ inputs: { referenceImages: [`http://127.0.0.1:${port}/never.png`] } })
      .catch(() => undefined);
    await until(() => sockets.length > 0);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    const body = (await answer)?.body;
    if (body) expect(body.errors).toHaveLength(1);
    silent.close();
  });

  it('given twice ends the server at once', async () => {
    const server = await start('600');
    const answer = server.edit(endless).catch(() => {});
    await until(() => isBusy(server));
    server.child.kill('SIGTERM');
    await until(() => server.stderr.includes('SIGTERM: finishing what is under way.'));
    expect(await server.stop()).toEqual({ code: 1, signal: null });
    await answer;
  });
});

describe('a server that cannot start says why in one sentence', () => {
  async function fail(flags: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const server = ServerProcess.launch({ dataDir: join(folder, 'fails'), flags, env });
    const { code } = await server.exit;
    expect(code).toBeGreaterThan(0);
    expect(server.stdout).toBe('');
    expect(server.stderr).not.toMatch(/^\s+at /m);
    return server.stderr;
  }

  it('without a data directory that can be written', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const said = await fail(['--data-dir', file]);
    expect(said).toMatch(/^retouch: The data directory .+file cannot be written to: .+\.\n$/);
  });

  it('without its port', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const said = await fail(['--port', String(port)]);
    other.close();
    expect(said).toContain(`port ${port}, failed: another program listens there`);
    expect(said.trim().split('\n')).toHaveLength(1);
  });

  it('with a setting that it does not know', async () => {
    const said = await fail([], { RETOUCH_PROT: '80' });
    expect(said).toBe('retouch: There is no setting RETOUCH_PROT; did you mean RETOUCH_PORT?\n');
  });

  it('with a setting that it cannot use', async () => {
    const said = await fail([], { RETOUCH_THREADS: 'many' });
    expect(said).toBe("retouch: RETOUCH_THREADS is 'many'; expected an integer from 0 to 1024.\n");
  });
});
