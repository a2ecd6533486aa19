/** The protocol of a front and its workers, over a real Redis and scripted engines. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { LocalEngines } from '../../src/engine/process/local-engines.ts';
import { openFleet } from '../../src/fleet/open.ts';
import { createMemoryQueue } from '../../src/queue/memory.ts';
import { type Fleet, type FleetOptions, openTestFleet, scriptedCatalog } from '../fixtures/fleet.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { hasRedis, RedisProcess } from '../fixtures/redis-process.ts';
import { Storage } from '../fixtures/s3.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const childModule = new URL('../fixtures/scripted-child.ts', import.meta.url);
let folder: string;
let redis: RedisProcess;
let fleets: Fleet[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-fleet-'));
  if (hasRedis) redis = await RedisProcess.start(folder);
});

afterEach(async () => {
  await Promise.all(fleets.map((fleet) => fleet.close()));
  fleets = [];
});

afterAll(async () => {
  await redis?.kill();
  await rm(folder, { recursive: true, force: true });
});

function engines(log: (line: string) => void = () => {}, count = 1): LocalEngines {
  const devices = Array.from({ length: count }, (_, index) => ({ device: 'cpu' as const, index }));
  return new LocalEngines({ devices, childModule, firstDelay: 1, log });
}

async function open(options: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await openTestFleet(redis.url, { workers: [engines()], ...options });
  fleets.push(fleet);
  return fleet;
}

async function collect(events: AsyncIterable<EngineEvent>): Promise<EngineEvent['type'][]> {
  const types: EngineEvent['type'][] = [];
  for await (const { type } of events) types.push(type);
  return types;
}

describe.skipIf(!hasRedis)('a fleet', () => {
  it('refuses a plan whose model no worker has, and one of which they have other files', async () => {
    const prefix = 'refusals';
    await open({ prefix });
    const strange = await open({
      prefix,
      workers: [],
      catalog: await scriptedCatalog(['test:scripted@1', 'test:other@1']),
    });
    const other = scriptedPlan('step');
    expect(strange.front.refusal(other)).toBeUndefined();
    const model = { ...other.model, air: 'test:other@1' };
    expect(strange.front.refusal({ ...other, model })).toBe('No worker has test:other@1.');
    const changed = await open({
      prefix,
      workers: [],
      catalog: await scriptedCatalog(['test:scripted@1'], 'package.json'),
    });
    expect(changed.front.refusal(other)).toBe(
      'The workers have other files of test:scripted@1 than this server.',
    );
  });

  it('refuses a worker whose version no server has, and gives nothing to one of another version', async () => {
    const prefix = 'versions';
    const { front } = await open({ prefix, version: '1' });
    const other = open({ prefix, version: '2' });
    await expect(other).rejects.toMatchObject({
      code: 'fleetVersionMismatch',
      message:
        'This worker has version 2 of Retouch, and no server of the fleet has it: front has 1. Both must have the same.',
    });
    expect(front.capacity).toBe(1);
  });

  it('lets images wait while no worker is connected, and makes them when one comes', async () => {
    const prefix = 'late';
    const { front } = await open({ prefix, workers: [] });
    expect([front.capacity, front.problem, front.refusal(scriptedPlan('step'))]).toEqual([
      0,
      'No worker is connected; what was accepted waits for one.',
      undefined,
    ]);
    const grown = new Promise<void>((resolve) => front.onGrowth(resolve));
    const image = collect(front.run(scriptedPlan('step')));
    await open({ prefix });
    expect((await image).at(-1)).toBe('image');
    await grown;
    expect([front.capacity, front.problem]).toEqual([1, undefined]);
  });

  it('has images of one model made while those of another occupy all engines that have it', async () => {
    const prefix = 'two-models';
    const [x, y] = ['test:scripted@1', 'test:other@1'];
    await open({ prefix });
    await open({ prefix, workers: [engines(), engines()], catalog: await scriptedCatalog([y]) });
    const { front } = await open({ prefix, workers: [], catalog: await scriptedCatalog([x, y]) });
    const planOf = (id: string) => {
      const plan = scriptedPlan(id.startsWith('x') ? 'orphan' : 'step');
      return { ...plan, model: { ...plan.model, air: id.startsWith('x') ? x : y } };
    };
    const queue = createMemoryQueue({
      limit: 100,
      width: () => front.capacity,
      widthFor: (needs) => front.capacityFor(needs),
    });
    const made: string[] = [];
    queue.start(async (id, { signal }) => {
      await collect(front.run(planOf(id), signal)).then(
        () => made.push(id),
        () => {},
      );
    });
    await vi.waitFor(() => expect(front.capacity).toBe(3));
    const push = (ids: string[]) => queue.push(ids, { needs: front.needsOf(planOf(ids[0]!)) });
    await push(['x1', 'x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'x8']);
    await push(['y1', 'y2', 'y3']);
    await vi.waitFor(() => expect(made.toSorted()).toEqual(['y1', 'y2', 'y3']), { timeout: 30_000 });
    await queue.close();
  });

  it('sends short images ahead of free engines where there are several, so that these do not wait for a bucket', async () => {
    const storage = await Storage.start();
    const plan = scriptedPlan('step');
    try {
      for (const [count, most] of [
        [1, 1],
        [2, 4],
      ] as const) {
        const workers = [engines(undefined, count)];
        const { front } = await open({ workers, bucket: storage.bucket(), prefix: `ahead-${count}` });
        const capacity = () => front.capacityFor(front.needsOf(plan));
        expect(capacity()).toBe(count);
        for (let made = 0; made < 3; made++) await collect(front.run(plan));
        expect(front.capacity).toBe(count);
        expect(capacity()).toBeGreaterThanOrEqual(Math.min(most, count + 1));
        expect(capacity()).toBeLessThanOrEqual(most);
      }
    } finally {
      await storage.stop();
    }
  });

  it('sends plans and images through a bucket, waits for it while it is away, and leaves nothing in either', async () => {
    const storage = await Storage.start();
    try {
      const prefix = 'bucket';
      // Nothing of a megabyte fits through Redis.
      const { front } = await open({ prefix, transferLimit: 1000, bucket: storage.bucket() });
      const reference = new Uint8Array(1_000_000).map((_, index) => index * 7);
      const run = async () => {
        let bytes: Uint8Array | undefined;
        for await (const event of front.run(scriptedPlan('step step', { references: [reference] })))
          if (event.type === 'image') bytes = event.image.bytes;
        return Buffer.from(bytes!);
      };
      expect(Buffer.compare(await run(), reference)).toBe(0);
      // s3rver loses an object that is written while it deletes the last one of its folder.
      await expect.poll(() => storage.keys()).toEqual([]);
      await storage.pause();
      const later = run();
      await storage.resume();
      expect(Buffer.compare(await later, reference)).toBe(0);
      await expect.poll(() => storage.keys()).toEqual([]);
      const { connection } = await openFleet({ redis: redis.url, redisPrefix: prefix, transferLimit: 1 });
      expect(await connection.redis.keys(`${connection.keys.transfer('*')}`)).toEqual([]);
      connection.redis.disconnect();
    } finally {
      await storage.stop();
    }
  });

  it('says which limit a plan passes that is too large to travel', async () => {
    const { front } = await open({ transferLimit: 1000 });
    const plan = scriptedPlan('step', { references: [new Uint8Array(2000)] });
    await expect(collect(front.run(plan))).rejects.toMatchObject({
      code: 'transferTooLarge',
      message: expect.stringMatching(
        /^An image needs \d{4} bytes to travel .+ at most 1000 \(RETOUCH_TRANSFER_LIMIT\)\.$/,
      ),
    });
  });

  it('answers an image of a known id from what was made of it before, without making it twice', async () => {
    const { front } = await open();
    const id = '0a4e4a1c-5b6c-4d36-9df3-6f2c1a6a7a01';
    const first = front.run(scriptedPlan('slow slow slow slow'), undefined, id);
    await first.next();
    // As if this front had died: nothing is cancelled, and its next life asks again.
    const again = collect(front.run(scriptedPlan('slow slow slow slow'), undefined, id));
    const types = await again;
    expect(types.at(-1)).toBe('image');
    expect(types.filter((type) => type === 'load-end').length).toBeLessThanOrEqual(1);
  });

  it('has an image made again whose result is lost after its job was completed', async () => {
    const prefix = 'lost-result';
    const { front, logged } = await open({ prefix });
    const { connection } = await openFleet({ redis: redis.url, redisPrefix: prefix, transferLimit: 1 });
    const isAgain = () =>
      logged.join('').includes('An image is sent to the workers again: The result of image');
    // The server may have read a result before it is removed here: then the next image is tried.
    for (let tries = 0; tries < 100 && !isAgain(); tries++) {
      let isRunning = true;
      const image = collect(front.run(scriptedPlan('step'))).finally(() => (isRunning = false));
      while (isRunning && !isAgain()) {
        const results = await connection.redis.keys(`${prefix}:transfer:result:*`);
        if (results.length > 0) await connection.redis.del(...results);
      }
      expect((await image).at(-1)).toBe('image');
    }
    connection.redis.disconnect();
    expect(isAgain()).toBe(true);
  });

  it('stops a cancelled image within a second, counted in steps that block their thread for a fifth of one', async () => {
    const lines: string[] = [];
    const { front } = await open({ workers: [engines((line) => lines.push(line))] });
    const stop = new AbortController();
    let heard = 0;
    const image = (async () => {
      for await (const { type } of front.run(scriptedPlan('slow '.repeat(50).trim()), stop.signal)) {
        if (type === 'step-end' && ++heard === 2) stop.abort();
      }
    })();
    await expect(image).rejects.toMatchObject({ code: 'engineAborted' });
    const left = /left after (\d+) steps/;
    const end = await vi.waitUntil(() => lines.map((line) => left.exec(line)).find(Boolean), 30_000);
    expect(Number(end![1]) - heard).toBeLessThanOrEqual(5);
  });

  it('leaves nothing in Redis of an image that has ended but what expires', async () => {
    const prefix = 'clean';
    const { front } = await open({ prefix });
    await collect(front.run(scriptedPlan('step')));
    await expect(collect(front.run(scriptedPlan('error')))).rejects.toMatchObject({ code: 'modelTooLarge' });
    const { connection } = await openFleet({ redis: redis.url, redisPrefix: prefix, transferLimit: 1 });
    await vi.waitFor(async () => {
      const keys = await connection.redis.keys(`${prefix}:*`);
      expect(keys.filter((key) => /:transfer:/.test(key))).toEqual([]);
      expect(keys.filter((key) => /:bull:.+:[0-9a-f-]{36}$/.test(key))).toEqual([]);
    });
    connection.redis.disconnect();
  });
});
