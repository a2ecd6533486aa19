/** A server and its workers as processes, and what happens when one of them or Redis ends or cannot be reached. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { editTask, ServerProcess, type Task } from '../e2e/server-process.ts';
import { hasRedis, RedisProcess } from '../fixtures/redis-process.ts';
import { WorkerProcess } from '../fixtures/worker-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const script = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));
const long = Array.from({ length: 20 }, () => 'slow').join(' ');
const endless = Array.from({ length: 500 }, () => 'slow').join(' ');

let folder: string;
let redis: RedisProcess;
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-fleet-'));
});

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
  await rm(folder, { recursive: true, force: true });
});

async function startRedis(options: Parameters<typeof RedisProcess.start>[1] = {}): Promise<void> {
  const started = await RedisProcess.start(folder, options);
  redis = started;
  ends.push(() => started.kill());
}

function frontEnv(changes: Record<string, string> = {}): Record<string, string> {
  return { RETOUCH_REDIS: redis.url, RETOUCH_LOG_LEVEL: 'warn', RETOUCH_ENGINES: '0', ...changes };
}

async function startFront(changes: Record<string, string> = {}, name = 'front'): Promise<ServerProcess> {
  const front = await ServerProcess.start({
    dataDir: join(folder, name),
    env: frontEnv(changes),
    command: [process.execPath, script],
  });
  ends.push(() => front.child.kill('SIGKILL') && front.exit);
  return front;
}

async function startWorker(name: string, changes: Record<string, string> = {}): Promise<WorkerProcess> {
  const worker = await WorkerProcess.start(name, {
    RETOUCH_REDIS: redis.url,
    RETOUCH_DATA_DIR: join(folder, name),
    ...changes,
  });
  ends.push(() => worker.stop('SIGKILL'));
  return worker;
}

type Engines = { engines: { name: string; state: string }[] };

const busyEngines = async (front: ServerProcess): Promise<string[]> => {
  const { engines } = (await front.health()) as unknown as Engines;
  return engines.filter(({ state }) => state === 'busy').map(({ name }) => name);
};

const poll = { timeout: 60_000, interval: 50 };

/** The state of an async task: its seeds, or `processing`. */
async function resultOf(front: ServerProcess, { taskUUID }: Task): Promise<unknown[]> {
  const { body } = await front.post([{ taskType: 'getResponse', taskUUID }]);
  return [
    ...body.data.map(({ status, seed }) => (status === 'processing' ? status : seed)),
    ...(body.errors ?? []).map(({ code }) => code),
  ];
}

const asyncTask = (positivePrompt: string, changes: Task = {}) =>
  editTask({ positivePrompt, deliveryMethod: 'async', seed: 7, ...changes });

describe.skipIf(!hasRedis)('a server with workers', () => {
  it('has several results of one task made by several workers, and lists their engines', async () => {
    await startRedis();
    const [front] = await Promise.all([startFront(), startWorker('a'), startWorker('b')]);
    await vi.waitFor(
      async () => expect(((await front.health()) as unknown as Engines).engines).toHaveLength(2),
      poll,
    );
    const answer = front.post([editTask({ positivePrompt: long, numberResults: 2, seed: 7 })]);
    await vi.waitFor(
      async () => expect((await busyEngines(front)).sort()).toEqual(['a/cpu:0', 'b/cpu:0']),
      poll,
    );
    expect((await answer).body.data.map(({ seed }) => seed)).toEqual([7, 8]);
  });

  it('uses its own engines and workers together', async () => {
    await startRedis();
    const [front] = await Promise.all([startFront({ RETOUCH_ENGINES: '1' }), startWorker('a')]);
    await vi.waitFor(
      async () => expect(((await front.health()) as unknown as Engines).engines).toHaveLength(2),
      poll,
    );
    const answer = front.post([editTask({ positivePrompt: long, numberResults: 2, seed: 7 })]);
    await vi.waitFor(
      async () => expect((await busyEngines(front)).sort()).toEqual(['a/cpu:0', 'cpu:0']),
      poll,
    );
    expect((await answer).body.data.map(({ seed }) => seed)).toEqual([7, 8]);
  });

  it('shares them with another server, each with its own answers', async () => {
    await startRedis();
    const [one, other] = await Promise.all([startFront(), startFront({}, 'other'), startWorker('a')]);
    const answers = await Promise.all(
      [one, other, one, other].map((front, seed) => front.edit({ positivePrompt: 'step step', seed })),
    );
    expect(answers.map(({ body }) => body.data.map(({ seed }) => seed))).toEqual([[0], [1], [2], [3]]);
  });

  it('gives the image of a killed worker to another one, and its client notices nothing but the time', async () => {
    await startRedis();
    const [front, a, b] = await Promise.all([startFront(), startWorker('a'), startWorker('b')]);
    const answer = front.edit({ positivePrompt: long, seed: 7 });
    const name = await vi.waitFor(async () => {
      const [busy] = await busyEngines(front);
      expect(busy).toBeDefined();
      return busy!.split('/')[0]!;
    }, poll);
    const [lost, other] = name === 'a' ? [a, b] : [b, a];
    lost.child.kill('SIGKILL');
    expect((await answer).body.data.map(({ seed }) => seed)).toEqual([7]);
    await vi.waitFor(() => expect(other.runs).toBe(1), poll);
    expect(front.stderr).toContain(`An image of the worker ${lost.name} is made by ${other.name} now.`);
  });

  it('says so when a second worker is lost over the same image', async () => {
    await startRedis();
    const [front, first] = await Promise.all([startFront(), startWorker('a')]);
    const answer = front.edit({ positivePrompt: endless });
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    first.child.kill('SIGKILL');
    const second = await startWorker('b');
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['b/cpu:0']), poll);
    second.child.kill('SIGKILL');
    await startWorker('c');
    const { status, body } = await answer;
    expect([status, body.errors?.map(({ code }) => code)]).toEqual([503, ['workerLost']]);
  });

  it('takes no late result of a worker that was taken for lost', async () => {
    await startRedis();
    const [front, a, b] = await Promise.all([startFront(), startWorker('a'), startWorker('b')]);
    const task = asyncTask(long);
    await front.post([task]);
    const name = await vi.waitFor(async () => {
      const [busy] = await busyEngines(front);
      expect(busy).toBeDefined();
      return busy!.split('/')[0]!;
    }, poll);
    const [stopped, other] = name === 'a' ? [a, b] : [b, a];
    // Its engine goes on: the worker has the image in hand when it wakes up, after its lease.
    stopped.child.kill('SIGSTOP');
    await vi.waitFor(async () => expect(await resultOf(front, task)).toEqual([7]), poll);
    stopped.child.kill('SIGCONT');
    await vi.waitFor(
      () => expect(stopped.output).toMatch(/another worker’s now|could not be told to its server/),
      poll,
    );
    await vi.waitFor(() => expect(other.runs).toBe(1), poll);
    expect(await resultOf(front, task)).toEqual([7]);
    // And it takes further images.
    expect((await front.edit({ positivePrompt: 'step', numberResults: 2 })).body.data).toHaveLength(2);
  });

  it('reaches a running step of a worker with a cancellation, whose engine is free again', async () => {
    await startRedis();
    const [front, worker] = await Promise.all([startFront(), startWorker('a')]);
    const task = asyncTask(endless);
    await front.post([task]);
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    const { body } = await front.post([{ taskType: 'cancelTask', taskUUID: task.taskUUID }]);
    expect(body.data).toMatchObject([{ cancelledResults: 1 }]);
    // All of the steps would take longer than this test may.
    expect((await front.edit({ positivePrompt: 'step' })).status).toBe(200);
    await vi.waitFor(() => expect(worker.runs).toBe(2), poll);
  });

  it('finds the image that a worker makes when it was killed and started again, and has it made once', async () => {
    await startRedis();
    const [front, worker] = await Promise.all([startFront(), startWorker('a')]);
    const task = asyncTask(long);
    await front.post([task]);
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    front.child.kill('SIGKILL');
    await front.exit;
    const again = await startFront();
    await vi.waitFor(async () => expect(await resultOf(again, task)).toEqual([7]), poll);
    await vi.waitFor(() => expect(worker.runs).toBe(1), poll);
  });

  it('loses nothing when a worker is stopped: it ends the image that it makes, or hands it back', async () => {
    await startRedis();
    const [front, a] = await Promise.all([startFront(), startWorker('a')]);
    const first = front.edit({ positivePrompt: long, seed: 7 });
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    expect(await a.stop()).toBe(0);
    expect((await first).body.data.map(({ seed }) => seed)).toEqual([7]);
    await vi.waitFor(() => expect(a.runs).toBe(1), poll);

    const hasty = await startWorker('hasty', { RETOUCH_SHUTDOWN_TIMEOUT: '0' });
    const second = front.edit({ positivePrompt: long, seed: 8 });
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['hasty/cpu:0']), poll);
    expect(await hasty.stop()).toBe(0);
    await startWorker('b');
    expect((await second).body.data.map(({ seed }) => seed)).toEqual([8]);
  });

  it('accepts tasks while Redis is away, says so in /ready, and goes on when it is back', async () => {
    await startRedis({ durable: true });
    const [front] = await Promise.all([startFront(), startWorker('a')]);
    const [running, waiting] = [asyncTask(long), asyncTask('step', { seed: 8 })];
    await front.post([running]);
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    await redis.kill();
    const ready = async () =>
      (await fetch(`${front.url}/ready`)).json() as Promise<{ error?: { message: string } }>;
    await vi.waitFor(
      async () =>
        expect((await ready()).error?.message).toMatch(
          /^Redis at redis:\/\/127\.0\.0\.1:\d+\/0 cannot be reached since .+; what was accepted waits for it\.$/,
        ),
      poll,
    );
    expect((await front.post([waiting])).body.data).toMatchObject([{ taskUUID: waiting.taskUUID }]);
    await redis.start();
    for (const task of [running, waiting])
      await vi.waitFor(async () => expect(await resultOf(front, task)).toEqual([task.seed]), poll);
    await vi.waitFor(async () => expect((await ready()).error).toBeUndefined(), poll);

    // And again while nothing is under way whose end would make the queue go on.
    await redis.kill();
    await vi.waitFor(async () => expect((await ready()).error).toBeDefined(), poll);
    const later = asyncTask('step', { seed: 9 });
    await front.post([later]);
    await redis.start();
    await vi.waitFor(async () => expect(await resultOf(front, later)).toEqual([9]), poll);
  });

  it('sends images again that Redis has lost, because it kept nothing on its disk', async () => {
    await startRedis();
    const [front] = await Promise.all([startFront(), startWorker('a')]);
    const tasks = [asyncTask(long), asyncTask('step', { seed: 8 })];
    for (const task of tasks) await front.post([task]);
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    await redis.kill();
    await redis.start();
    for (const task of tasks)
      await vi.waitFor(async () => expect(await resultOf(front, task)).toEqual([task.seed]), poll);
  });

  it('and a worker end at a signal while Redis is away', async () => {
    await startRedis();
    const [front, worker] = await Promise.all([
      startFront({ RETOUCH_SHUTDOWN_TIMEOUT: '1' }),
      startWorker('a', { RETOUCH_SHUTDOWN_TIMEOUT: '1' }),
    ]);
    await front.post([asyncTask(endless)]);
    await vi.waitFor(async () => expect(await busyEngines(front)).toEqual(['a/cpu:0']), poll);
    await redis.kill();
    const codes = await Promise.all([front.stop().then(({ code }) => code), worker.stop()]);
    expect(codes).toEqual([0, 0]);
  });

  it('is listed by retouch workers, with its engines and what they hold', async () => {
    await startRedis();
    const [front] = await Promise.all([startFront(), startWorker('a', { RETOUCH_ENGINES: '2' })]);
    await front.edit({ positivePrompt: 'step' });
    const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
    const list = async (...words: string[]) => {
      const { stdout } = await promisify(execFile)(process.execPath, [
        program,
        'workers',
        '--redis',
        redis.url,
        ...words,
      ]);
      return stdout;
    };
    await vi.waitFor(
      async () =>
        expect(await list()).toMatch(/^a +\d\S+ +cpu:0 +(idle|ready) +0 +retouch:mini@1 +retouch:mini@1 /m),
      poll,
    );
    expect(JSON.parse(await list('--json'))).toMatchObject([
      { name: 'a', draining: false, engines: [{ name: 'cpu:0' }, { name: 'cpu:1' }] },
    ]);
  });

  it('needs the password of Redis, and shows it nowhere', async () => {
    await startRedis({ words: ['--requirepass', 'the-secret-word'] });
    const address = `127.0.0.1:${redis.port}`;
    const env = { RETOUCH_REDIS: `redis://:the-secret-word@${address}/3`, RETOUCH_REDIS_PREFIX: 'mine' };
    const [front] = await Promise.all([startFront(env), startWorker('a', env)]);
    expect((await front.edit({ positivePrompt: 'step' })).status).toBe(200);
    const wrong = WorkerProcess.launch('b', {
      RETOUCH_REDIS: `redis://:another-word@${address}`,
      RETOUCH_DATA_DIR: join(folder, 'b'),
    });
    expect((await wrong.exit).code).toBe(1);
    expect(wrong.output).toContain(`Redis at redis://${address}/0 refuses the user or the password`);
    expect(`${front.stderr}${front.stdout}${wrong.output}`).not.toMatch(/secret-word|another-word/);
  });

  it('and a worker say at their start that Redis cannot be reached', async () => {
    const env = { RETOUCH_REDIS: 'redis://127.0.0.1:1', RETOUCH_DATA_DIR: join(folder, 'a') };
    const worker = WorkerProcess.launch('a', env);
    const front = ServerProcess.launch({
      dataDir: join(folder, 'f'),
      env,
      command: [process.execPath, script],
    });
    expect([(await worker.exit).code, (await front.exit).code]).toEqual([1, 1]);
    for (const text of [worker.output, front.stderr])
      expect(text).toContain('Redis at redis://127.0.0.1:1/0 cannot be reached within 5 s: ECONNREFUSED.');
  });
});
