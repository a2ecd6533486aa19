import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Bench, openBench, task, taskUUID } from './fixture.ts';

const second = 1000;
const day = 86_400 * second;
let folder: string;
let bench: Bench;

beforeEach(async () => {
  // The clocks only: the server's own timers go on.
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: new Date('2026-01-01') });
  folder = await mkdtemp(join(tmpdir(), 'retouch-retention-'));
  bench = await openBench(folder);
});

afterEach(async () => {
  vi.useRealTimers();
  await bench.close();
  await rm(folder, { recursive: true });
});

/** Expired tasks and images are removed when a server starts, and every minute. */
async function restart(flags: Record<string, string> = {}): Promise<void> {
  await bench.close();
  bench = await openBench(folder, flags);
}

const pass = (milliseconds: number) => vi.advanceTimersByTime(milliseconds);
/** The wall clock is set, and no time passes. */
const jump = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds);
const files = async () =>
  (await readdir(join(folder, 'images'), { recursive: true })).filter((name) => name.includes('.'));
const poll = () => bench.post([{ taskType: 'getResponse', taskUUID }]);

async function draw(fields: object = {}): Promise<{ path: string; uuid: string }> {
  const { body } = await bench.post([{ ...task, ...fields }]);
  const { imageURL, imageUUID } = body.data[0]!;
  return { path: new URL(String(imageURL)).pathname, uuid: String(imageUUID) };
}

const look = (path: string) => bench.server.inject(path);

describe('a picture with a ttl', () => {
  it('is served until then and not after, and no cache keeps it longer', async () => {
    const { path } = await draw({ ttl: 60 });
    pass(20 * second);
    const seen = await look(path);
    expect([seen.statusCode, seen.headers['cache-control']]).toEqual([200, 'public, max-age=40, immutable']);
    pass(39 * second);
    expect((await look(path)).statusCode).toBe(200);
    pass(second);
    expect((await look(path)).statusCode).toBe(404);
    await restart();
    expect(await files()).toEqual([]);
  });

  it('cannot be used as a reference after it', async () => {
    const { uuid } = await draw({ ttl: 60 });
    pass(60 * second);
    const { body } = await bench.post([
      { ...task, taskUUID: crypto.randomUUID(), inputs: { referenceImages: [uuid] } },
    ]);
    expect(body.error?.code).toBe('mediaNotFound');
  });

  it('goes at its time however often it is used, and its result is an error then', async () => {
    const { path } = await draw({ ttl: 100_000 });
    for (let hour = 0; hour < 27; hour++) {
      pass(3600 * second);
      await look(path);
    }
    expect((await look(path)).statusCode).toBe(200);
    pass(3600 * second);
    expect((await look(path)).statusCode).toBe(404);
    const { data, errors } = (await poll()).body;
    expect([data, errors?.map(({ code }) => code)]).toEqual([[], ['mediaNotFound']]);
  });

  it.each([59, 0, -1, 60.5])('of %d is refused', async (ttl) => {
    const { body } = await bench.post([{ ...task, ttl }]);
    expect(body.error).toMatchObject({ code: 'invalidTtl', parameter: 'ttl', min: 60 });
  });
});

describe('a picture without a ttl', () => {
  it('stays for 30 days after its last use', async () => {
    const { path } = await draw();
    pass(29 * day);
    expect((await look(path)).statusCode).toBe(200);
    pass(29 * day);
    await restart();
    expect((await look(path)).statusCode).toBe(200);
    pass(30 * day + 1);
    await restart();
    expect(await files()).toEqual([]);
    expect((await look(path)).statusCode).toBe(404);
  });

  it('stays as long as the server is set to', async () => {
    const { path } = await draw();
    pass(2 * day);
    await restart({ retention: '3' });
    expect((await look(path)).statusCode).toBe(200);
    pass(3 * day + 1);
    await restart({ retention: '3' });
    expect((await look(path)).statusCode).toBe(404);
  });

  it('is found again when the database was lost', async () => {
    const { path } = await draw();
    await bench.close();
    for (const name of await readdir(folder)) {
      if (name.startsWith('retouch.db')) await rm(join(folder, name));
    }
    bench = await openBench(folder);
    expect((await look(path)).statusCode).toBe(200);
    expect((await poll()).body.error?.code).toBe('taskNotFound');
  });
});

describe('a result', () => {
  it('is kept for 30 days after it was last polled for; then its UUID is free', async () => {
    await draw();
    pass(29 * day);
    expect((await poll()).status).toBe(200);
    pass(29 * day);
    await restart();
    expect((await poll()).status).toBe(200);
    pass(30 * day + 1);
    await restart();
    expect((await poll()).body.error?.code).toBe('taskNotFound');
    expect((await bench.post([task])).status).toBe(200);
  });
});

describe('a wall clock that is set', () => {
  it.each([
    ['a month forward', 31 * day],
    ['ten years forward', 3650 * day],
    ['an hour back', -3600 * second],
    ['to 1970', -20_000 * day],
  ])('%s and back again deletes nothing', async (_, milliseconds) => {
    const { path } = await draw();
    const short = await draw({ taskUUID: crypto.randomUUID(), ttl: 3600 });
    jump(milliseconds);
    pass(66 * second);
    const during = await draw({ taskUUID: crypto.randomUUID(), ttl: 3600 });
    jump(-milliseconds);
    pass(66 * second);
    await restart();
    for (const kept of [path, short.path, during.path]) expect((await look(kept)).statusCode).toBe(200);
    expect((await poll()).body.data).toMatchObject([{ status: 'success' }]);
    pass(3600 * second);
    const statuses = [await look(path), await look(short.path), await look(during.path)];
    expect(statuses.map(({ statusCode }) => statusCode)).toEqual([200, 404, 404]);
  });

  it.each([
    ['years ahead', 3650 * day],
    ['in 1970', -20_000 * day],
  ])(
    'is %s at a start deletes nothing that is not due within a day, and what comes then is kept',
    async (_, milliseconds) => {
      const { path } = await draw();
      await bench.close();
      jump(milliseconds);
      bench = await openBench(folder);
      expect((await look(path)).statusCode).toBe(200);
      const during = await draw({ taskUUID: crypto.randomUUID() });
      jump(-milliseconds);
      await restart();
      pass(28 * day);
      await restart();
      expect((await look(path)).statusCode).toBe(200);
      expect((await look(during.path)).statusCode).toBe(200);
      pass(31 * day);
      await restart();
      expect(await files()).toEqual([]);
    },
  );

  it('lets an image with a ttl expire while the server is down', async () => {
    const { path } = await draw({ ttl: 3600 });
    await bench.close();
    jump(3600 * second);
    bench = await openBench(folder);
    expect((await look(path)).statusCode).toBe(404);
  });
});

describe('a ttl beyond any date', () => {
  it.each([8e12, 9_006_000_000_000, Number.MAX_SAFE_INTEGER])('of %d means for ever', async (ttl) => {
    const { path, uuid } = await draw({ ttl });
    expect((await look(path)).statusCode).toBe(200);
    const inputs = { referenceImages: [uuid] };
    expect(
      (await bench.post([{ ...task, taskUUID: crypto.randomUUID(), inputs }])).body.error?.code,
    ).not.toBe('internalServerError');
    const { status } = await bench.post([
      { taskType: 'mediaStorage', taskUUID: crypto.randomUUID(), operation: 'delete', media: uuid },
    ]);
    expect(status).toBe(200);
    expect((await look(path)).statusCode).toBe(404);
  });
});
