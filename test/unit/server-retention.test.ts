import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Bench, openBench, task, taskUUID } from './server-fixture.ts';

const second = 1000;
const day = 86_400 * second;
let folder: string;
let bench: Bench;

beforeEach(async () => {
  // The clock of dates only: the server's own waiting goes on.
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-01-01') });
  folder = await mkdtemp(join(tmpdir(), 'retouch-retention-'));
  bench = await openBench(folder);
});

afterEach(async () => {
  vi.useRealTimers();
  await bench.close();
  await rm(folder, { recursive: true });
});

/** What has expired is removed when a server starts, and every minute. */
async function restart(flags: Record<string, string> = {}): Promise<void> {
  await bench.close();
  bench = await openBench(folder, flags);
}

const pass = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds);
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

  it('goes at its time however often it is used, and the result says where it was', async () => {
    const { path } = await draw({ ttl: 100_000 });
    for (let hour = 0; hour < 27; hour++) {
      pass(3600 * second);
      await look(path);
    }
    expect((await look(path)).statusCode).toBe(200);
    pass(3600 * second);
    expect((await look(path)).statusCode).toBe(404);
    expect((await poll()).body.data).toMatchObject([{ status: 'success', imageURL: expect.any(String) }]);
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
