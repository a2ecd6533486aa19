/** Loops with step caches against torch: First-Block Cache is diffusers' own hook (test/data/reference/step_caches.py). */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Transformer } from '../../src/engine/networks/transformer.ts';
import { StepCaching } from '../../src/engine/pipeline/step-caching.ts';
import type { CachePlan } from '../../src/engine/plan.ts';
import {
  cases,
  conditioning,
  firstSample,
  loadTiny,
  planOf,
  reference,
  runCached,
  runPlain,
  steps,
} from './checks/step-caches.ts';
import { difference } from './compare.ts';
import { loop as tolerance } from './tolerance.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-step-caches-'));
const transformers = {} as Record<'f32' | 'int8', Transformer>;
beforeAll(async () => {
  for (const product of ['f32', 'int8'] as const) {
    const cacheFile = path.join(folder, `${product}.safetensors`);
    transformers[product] = await loadTiny({ precision: product, fused: true }, 'cpu', cacheFile);
  }
});
afterAll(async () => {
  for (const transformer of Object.values(transformers)) await transformer.release();
  fs.rmSync(folder, { recursive: true });
});

describe('a loop with a step cache takes the path that torch takes', () => {
  test.each(cases.map((each) => [each.name, each] as const))('%s', async (name, each) => {
    const found = await runCached(transformers.f32, planOf(each), each.trueCfg);
    expect(found.hits.slice(0, -1)).toEqual(each.hits);
    expect(found.hits.at(-1)).toEqual(each.hits[0]!.map(() => 0));
    expect(difference(found.x, reference.floats(name)).relativeL2).toBeLessThan(tolerance);
  });

  test('and the cases hold reuse and none, runs of it, and passes that differ', () => {
    const all = cases.flatMap(({ hits }) => hits);
    expect(all.some(([given, negative]) => negative !== undefined && given !== negative)).toBe(true);
    for (const cache of ['tea', 'first-block', 'dual-block'])
      expect(cases.some((each) => each.cache === cache && each.hits.flat().includes(1))).toBe(true);
  });
});

describe.each(['f32', 'int8'] as const)(
  'a cache that never reuses leaves every bit as it is in %s',
  (product) => {
    test.each(['tea', 'first-block', 'dual-block'] as const)('%s', async (name) => {
      const plain = await runPlain(transformers[product]);
      const plan: CachePlan = { name, threshold: 0, from: 0, to: steps, maxConsecutive: 5 };
      const { x, hits } = await runCached(transformers[product], plan, 1);
      expect(hits.flat()).not.toContain(1);
      expect(x).toEqual(plain);
      const reusing = await runCached(transformers[product], { ...plan, threshold: 100 }, 1);
      expect(reusing.hits.flat()).toContain(1);
      expect(reusing.x).not.toEqual(plain);
    });
  },
);

test('a cache enters at the same places of a network whose every block is a segment', async () => {
  const blocks = await loadTiny({ precision: 'f32', fused: true, bandRows: 8 }, 'cpu');
  for (const name of ['tea', 'first-block', 'dual-block'] as const)
    for (const threshold of [0, 100]) {
      const plan: CachePlan = { name, threshold, from: 0, to: steps, maxConsecutive: 5 };
      expect(await runCached(blocks, plan, 1)).toEqual(await runCached(transformers.f32, plan, 1));
    }
  await blocks.release();
});

test('when the network becomes another one the next step is computed', async () => {
  const transformer = transformers.f32;
  const plan: CachePlan = { name: 'first-block', threshold: 100, from: 0, to: steps, maxConsecutive: steps };
  const caching = new StepCaching(plan, steps, await transformer.cacheSessions());
  const given = conditioning();
  const reused: number[] = [];
  let updates = {};
  for (let step = 0; step < 6; step++) {
    if (step === 3) updates = {};
    await caching.evaluate(given, (cached) =>
      transformer.velocity({ x: firstSample, time: 500 }, given, { updates, cached }),
    );
    reused.push(caching.endStep());
  }
  caching.release();
  expect(reused).toEqual([0, 1, 1, 0, 1, 1]);
});
