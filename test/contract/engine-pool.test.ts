/** The contract of every pool of engines, run against each of them, over scripted engines (test/fixtures/scripted-child.ts). */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EnginePool } from '../../src/engine/engine.ts';
import type { EngineEvent } from '../../src/engine/plan.ts';
import { LocalEngines } from '../../src/engine/process/local-engines.ts';
import { JoinedEngines } from '../../src/fleet/joined-engines.ts';
import { type Fleet, openTestFleet } from '../fixtures/fleet.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { hasRedis, RedisProcess } from '../fixtures/redis-process.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const childModule = new URL('../fixtures/scripted-child.ts', import.meta.url);

type Opened = { pool: EnginePool; close(): Promise<void> };

let folder: string;
let redis: RedisProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-pool-'));
  if (hasRedis) redis = await RedisProcess.start(folder);
});

afterAll(async () => {
  await redis?.kill();
  await rm(folder, { recursive: true, force: true });
});

function openLocal(count: number): LocalEngines {
  const devices = Array.from({ length: count }, (_, index) => ({ device: 'cpu' as const, index }));
  return new LocalEngines({ devices, childModule, firstDelay: 1, log: () => {} });
}

const fleets: Fleet[] = [];

async function openFleet(count: number): Promise<Opened> {
  const fleet = await openTestFleet(redis!.url, { workers: [openLocal(count)] });
  fleets.push(fleet);
  return { pool: fleet.front, close: () => fleet.close() };
}

const implementations: Record<string, { open: (count: number) => Promise<Opened>; skip: boolean }> = {
  local: {
    open: async (count) => {
      const pool = openLocal(count);
      return { pool, close: () => pool.close() };
    },
    skip: false,
  },
  fleet: { open: openFleet, skip: !hasRedis },
  joined: {
    open: async (count) => {
      const fleet = count > 1 ? [await openFleet(count - 1)] : [];
      const pool = new JoinedEngines([openLocal(1), ...fleet.map((each) => each.pool)]);
      return {
        pool,
        close: async () => {
          await pool.close();
          await Promise.all(fleet.map((each) => each.close()));
        },
      };
    },
    skip: !hasRedis,
  },
};

describe.each(Object.entries(implementations))('the %s engines', (_, { open, skip }) => {
  let opened: Opened | undefined;

  afterEach(async () => {
    await opened?.close();
    opened = undefined;
  });

  async function start(count: number): Promise<EnginePool> {
    opened = await open(count);
    return opened.pool;
  }

  async function collect(events: AsyncIterable<EngineEvent>): Promise<EngineEvent[]> {
    const all: EngineEvent[] = [];
    for await (const event of events) all.push(event);
    return all;
  }

  it.skipIf(skip)(
    'tell of every step and end with the image, whose bytes are those that went in',
    async () => {
      const pool = await start(1);
      const reference = new Uint8Array(1_000_000).map((_, index) => index * 7);
      const events = await collect(pool.run(scriptedPlan('step step', { references: [reference] })));
      expect(events.map(({ type }) => type)).toEqual([
        'load-end',
        'encode-end',
        'step-end',
        'step-end',
        'decode-end',
        'image',
      ]);
      const last = events.at(-1)!;
      expect(last.type === 'image' && Buffer.compare(last.image.bytes, reference)).toBe(0);
    },
  );

  it.skipIf(skip)('run as many plans at a time as their capacity, each to its own end', async () => {
    const pool = await start(3);
    expect(pool.capacity).toBe(3);
    expect(pool.engines).toHaveLength(3);
    // They wait until all three run, however long a machine takes to start them.
    const all = Promise.withResolvers<void>();
    const stop = new AbortController();
    let running = 0;
    const run = async (seed: bigint) => {
      for await (const event of pool.run(scriptedPlan('slow '.repeat(300).trim(), { seed }), stop.signal))
        if (event.type === 'load-end' && ++running === 3) all.resolve();
    };
    const runs = [1n, 2n, 3n].map(run);
    await all.promise;
    stop.abort();
    for (const each of runs) await expect(each).rejects.toMatchObject({ code: 'engineAborted' });
    const ends = await Promise.all(
      [1n, 2n, 3n].map(
        async (seed) => (await collect(pool.run(scriptedPlan('step', { seed })))).at(-1)!.type,
      ),
    );
    expect(ends).toEqual(['image', 'image', 'image']);
  });

  it.skipIf(skip)('throw what the engine threw, with its code and details, and go on', async () => {
    const pool = await start(1);
    await expect(collect(pool.run(scriptedPlan('step error')))).rejects.toMatchObject({
      code: 'modelTooLarge',
      message: 'The model needs 24 GiB; the limit is 8 GiB.',
      details: { limit: 8 },
    });
    await expect(collect(pool.run(scriptedPlan('step crash:SIGKILL')))).rejects.toMatchObject({
      code: 'engineCrashed',
      details: { phase: 'computing step 2 of 2' },
    });
    expect((await collect(pool.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
  });

  it.skipIf(skip)('stop a run at its next step when its signal fires, and are free again', async () => {
    const pool = await start(1);
    const stop = new AbortController();
    const steps: number[] = [];
    const run = (async () => {
      const words = Array.from({ length: 1000 }, () => 'slow').join(' ');
      for await (const event of pool.run(scriptedPlan(words), stop.signal)) {
        if (event.type !== 'step-end') continue;
        steps.push(event.index);
        stop.abort();
      }
    })();
    await expect(run).rejects.toMatchObject({ code: 'engineAborted' });
    expect(steps).toEqual([0]);
    // All of its steps would take longer than this test may.
    expect((await collect(pool.run(scriptedPlan('step')))).at(-1)?.type).toBe('image');
  });

  it.skipIf(skip)('refuse a plan whose signal has fired, and every plan once they are closed', async () => {
    const pool = await start(1);
    await expect(collect(pool.run(scriptedPlan('step'), AbortSignal.abort()))).rejects.toMatchObject({
      code: 'engineAborted',
    });
    const running = collect(pool.run(scriptedPlan('slow slow slow slow slow')));
    const ended = expect(running).rejects.toMatchObject({ code: 'engineClosed' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await pool.close();
    await ended;
    await expect(collect(pool.run(scriptedPlan('step')))).rejects.toMatchObject({ code: 'engineClosed' });
  });
});
