/** A loop with a step cache, as test/data/reference/step_caches.py ran it in torch. */
import path from 'node:path';
import { fluxConfig } from '../../../src/engine/models/flux-config.ts';
import { type Conditioning, Transformer } from '../../../src/engine/networks/transformer.ts';
import type { DeviceName } from '../../../src/engine/onnx/device.ts';
import { f32Tensor } from '../../../src/engine/onnx/tensor.ts';
import { StepCaching } from '../../../src/engine/pipeline/step-caching.ts';
import type { CachePlan } from '../../../src/engine/plan.ts';
import { euler } from '../../../src/engine/samplers/euler.ts';
import type { Velocity } from '../../../src/engine/samplers/index.ts';
import { openCheckpoint } from '../../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../../src/engine/weights/dialects/flux.ts';
import { joinFloats } from '../../../src/engine/weights/floats.ts';
import { WeightSource } from '../../../src/engine/weights/source.ts';
import type { Compute } from '../../../src/engine/weights/weights.ts';
import { goldenFile, openGolden } from '../data.ts';
import { Tensors } from './check.ts';
import { finish } from './flux.ts';

export type CacheCase = {
  name: string;
  cache: CachePlan['name'];
  threshold: number;
  maxConsecutive?: number;
  trueCfg: number;
  /** For every step but the last, whether each pass reused. */
  hits: number[][];
};

export const reference = new Tensors(path.join(import.meta.dirname, '../../data/caches/loops.safetensors'));
export const cases: CacheCase[] = JSON.parse(reference.metadata.cases!);
const levels = Float64Array.from(JSON.parse(reference.metadata.sigmas!));
export const steps = levels.length - 1;
const io = openGolden('flux_tiny_io.safetensors');

/** The small transformer of the golden data; `cacheFile` is where another precision than its own keeps weights. */
export function loadTiny(compute: Compute, device: DeviceName, cacheFile = ''): Promise<Transformer> {
  const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
  const options = { device, threads: 1 };
  const prepared = cacheFile === '' ? {} : { preparedFile: cacheFile };
  return finish(
    Transformer.load({ source, config: fluxConfig(source) }, compute, { ...options, ...prepared }),
  );
}

export function conditioning(branch: '' | 'neg_' = ''): Conditioning {
  const [text, vector] = [io.floats(`${branch}txt`), io.floats(`${branch}vec`)];
  return {
    context: f32Tensor(text, io.shape(`${branch}txt`).slice(1)),
    pooled: f32Tensor(vector, [1, vector.length]),
    references: io.floats('ref_img'),
    ids: joinFloats([io.floats('txt_ids'), io.floats('img_ids'), io.floats('ref_ids')]),
    guidance: 1000 * io.floats('ref.guidance')[0]!,
  };
}

export const firstSample = io.floats('img');

export function planOf({ cache, threshold, maxConsecutive = steps }: CacheCase): CachePlan {
  return { name: cache, threshold, from: 0, to: steps, maxConsecutive };
}

/** The sample before the last of the first `count` steps, and whether each evaluation was reused. */
export async function runCached(
  transformer: Transformer,
  plan: CachePlan,
  trueCfg: number,
  count = steps,
): Promise<{ x: Float32Array; hits: number[][] }> {
  const caching = new StepCaching(plan, steps, await transformer.cacheSessions());
  const passes = trueCfg > 1 ? [conditioning(), conditioning('neg_')] : [conditioning()];
  const hits: number[][] = [];
  const model: Velocity = async (x, sigma) => {
    const row: number[] = [];
    const results: Float32Array[] = [];
    for (const given of passes) {
      const before = caching.reused;
      results.push(
        await caching.evaluate(given, (cached) =>
          transformer.velocity({ x, time: 1000 * sigma }, given, { cached }),
        ),
      );
      row.push(caching.reused - before);
    }
    hits.push(row);
    const [v, against] = results;
    return against ? against.map((value, i) => value + trueCfg * (v![i]! - value)) : v!;
  };
  let x = firstSample;
  for await (const step of euler(model, x, { sigmas: levels.subarray(0, count + 1), noise: () => x })) {
    if (step.index < count - 1) x = step.x;
    caching.endStep();
  }
  caching.release();
  return { x, hits };
}

/** The same without a cache. */
export async function runPlain(transformer: Transformer): Promise<Float32Array> {
  const given = conditioning();
  const model: Velocity = (x, sigma) => transformer.velocity({ x, time: 1000 * sigma }, given);
  let x = firstSample;
  for await (const step of euler(model, x, { sigmas: levels.subarray(0, steps), noise: () => x })) x = step.x;
  return x;
}
