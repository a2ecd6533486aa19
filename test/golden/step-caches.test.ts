/** Loops with step caches against torch: First-Block Cache is diffusers' own hook (test/data/reference/step_caches.py). */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { f32Tensor } from '../../src/engine/onnx/session.ts';
import type { CachePlan } from '../../src/engine/plan.ts';
import { euler } from '../../src/engine/samplers/euler.ts';
import type { Model } from '../../src/engine/samplers/index.ts';
import { StepCaching } from '../../src/engine/step-caching.ts';
import { type Conditioning, Transformer } from '../../src/engine/transformer.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { joinFloats } from '../../src/engine/weights/floats.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { Tensors } from './checks/check.ts';
import { finish } from './checks/flux.ts';
import { difference } from './compare.ts';
import { goldenFile, openGolden } from './data.ts';
import { loop as tolerance } from './tolerance.ts';

type Case = {
  name: string;
  cache: CachePlan['name'];
  threshold: number;
  maxConsecutive?: number;
  trueCfg: number;
  /** For every step but the last, whether each pass reused. */
  hits: number[][];
};

const reference = new Tensors(path.join(import.meta.dirname, '../data/caches/loops.safetensors'));
const cases: Case[] = JSON.parse(reference.metadata.cases!);
const levels = Float64Array.from(JSON.parse(reference.metadata.sigmas!));
const steps = levels.length - 1;
const io = openGolden('flux_tiny_io.safetensors');

let transformer: Transformer;
beforeAll(async () => {
  const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
  const compute = { product: 'f32', fused: true } as const;
  transformer = await finish(
    Transformer.load({ source, config: fluxConfig(source) }, compute, { device: 'cpu', threads: 1 }, ''),
  );
});
afterAll(() => transformer.release());

function conditioning(branch: '' | 'neg_'): Conditioning {
  const [text, vector] = [io.floats(`${branch}txt`), io.floats(`${branch}vec`)];
  return {
    context: f32Tensor(text, io.shape(`${branch}txt`).slice(1)),
    pooled: f32Tensor(vector, [1, vector.length]),
    references: io.floats('ref_img'),
    ids: joinFloats([io.floats('txt_ids'), io.floats('img_ids'), io.floats('ref_ids')]),
    guidance: 1000 * io.floats('ref.guidance')[0]!,
  };
}

/** The sample before the last step, and what every evaluation did. */
async function run(plan: CachePlan, trueCfg: number): Promise<{ x: Float32Array; hits: number[][] }> {
  const caching = new StepCaching(plan, steps, await transformer.cacheSessions());
  const passes = trueCfg > 1 ? [conditioning(''), conditioning('neg_')] : [conditioning('')];
  const hits: number[][] = [];
  const model: Model = async (x, sigma) => {
    const row: number[] = [];
    const results: Float32Array[] = [];
    for (const given of passes) {
      results.push(
        await caching.evaluate(given, (cached) => transformer.velocity(x, 1000 * sigma, given, cached)),
      );
      row.push(caching.takeReused());
    }
    hits.push(row);
    const [v, against] = results;
    return against ? against.map((value, i) => value + trueCfg * (v![i]! - value)) : v!;
  };
  let x = io.floats('img');
  for await (const step of euler(model, x, levels, { noise: () => x })) {
    if (step.index < steps - 1) x = step.x;
    caching.step = step.index + 1;
  }
  caching.release();
  return { x, hits };
}

describe('a loop with a step cache takes the path that torch takes', () => {
  test.each(cases.map((each) => [each.name, each] as const))('%s', async (name, each) => {
    const { cache, threshold, maxConsecutive = steps, trueCfg, hits } = each;
    const plan: CachePlan = { name: cache, threshold, from: 0, to: steps, maxConsecutive };
    const found = await run(plan, trueCfg);
    expect(found.hits.slice(0, -1)).toEqual(hits);
    expect(found.hits.at(-1)).toEqual(hits[0]!.map(() => 0));
    expect(difference(found.x, reference.floats(name)).relativeL2).toBeLessThan(tolerance);
  });

  test('and the cases hold reuse and none, runs of it, and passes that differ', () => {
    const all = cases.flatMap(({ hits }) => hits);
    expect(all.some(([given, negative]) => negative !== undefined && given !== negative)).toBe(true);
    for (const cache of ['tea', 'first-block', 'dual-block'])
      expect(cases.some((each) => each.cache === cache && each.hits.flat().includes(1))).toBe(true);
  });
});

describe('a cache that never reuses leaves every bit as it is', () => {
  test.each(['tea', 'first-block', 'dual-block'] as const)('%s', async (name) => {
    const given = conditioning('');
    let plain = io.floats('img');
    const model: Model = (x, sigma) => transformer.velocity(x, 1000 * sigma, given);
    for await (const step of euler(model, plain, levels.subarray(0, steps), { noise: () => plain }))
      plain = step.x;
    const { x, hits } = await run({ name, threshold: 0, from: 0, to: steps, maxConsecutive: 5 }, 1);
    expect(hits.flat()).not.toContain(1);
    expect(x).toEqual(plain);
  });
});

test('when the network becomes another one the next step is computed', async () => {
  const plan: CachePlan = { name: 'first-block', threshold: 100, from: 0, to: steps, maxConsecutive: steps };
  const caching = new StepCaching(plan, steps, await transformer.cacheSessions());
  const given = conditioning('');
  const reused: number[] = [];
  for (let step = 0; step < 6; step++) {
    caching.step = step;
    if (step === 3) transformer.use(new Map());
    await caching.evaluate(given, (cached) => transformer.velocity(io.floats('img'), 500, given, cached));
    reused.push(caching.takeReused());
  }
  caching.release();
  expect(reused).toEqual([0, 1, 1, 0, 1, 1]);
});
