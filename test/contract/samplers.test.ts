import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/engine/plan.ts';
import { Generator } from '../../src/engine/random/torch-noise.ts';
import { type SamplerEntry, type Step, samplers, type Velocity } from '../../src/engine/samplers/index.ts';
import { sigmas } from '../../src/engine/sigmas/index.ts';
import * as gaussian from '../fixtures/gaussian-flow.ts';
import * as mixture from '../fixtures/mixture-flow.ts';

type Noise = () => Float32Array;
type Name = Plan['sampler'];

const names = Object.keys(samplers) as Name[];
const entries: Record<Name, SamplerEntry> = samplers;
const stochastic = names.filter((name) => entries[name].stochastic);
const deterministic = names.filter((name) => !entries[name].stochastic);
const spacings = Object.keys(sigmas) as Plan['sigmas'][];
const start = Float32Array.of(-1.5, -0.3, 0.4, 2);

const never: Noise = () => {
  throw new Error('a sampler without randomness drew noise');
};

function drawing(seed: bigint, length = start.length): Noise {
  const generator = new Generator(seed);
  return () => generator.randn(length);
}

async function walk(
  name: Name,
  model: Velocity,
  levels: Float64Array,
  noise: Noise,
  x = start,
): Promise<Step[]> {
  const steps: Step[] = [];
  for await (const step of entries[name].run(model, x, { sigmas: levels, noise })) steps.push(step);
  return steps;
}

/** Even levels from 0.9 to 0.2, and two more to 0, so that the measurement at 0.2 includes no special last step. */
function evenLevels(steps: number): Float64Array {
  return Float64Array.of(...Array.from({ length: steps + 1 }, (_, i) => 0.9 - (0.7 * i) / steps), 0.1, 0);
}

describe.each(names)('%s', (name) => {
  const { evaluations, stochastic } = entries[name];
  const noise = () => (stochastic ? drawing(5n) : never);

  it.each(spacings)('ends every run at level 0 with finite samples on %s levels', async (spacing) => {
    for (const steps of [1, 2, 3, 5, 16]) {
      const levels = sigmas[spacing].levels(steps, 1.15);
      const taken = await walk(name, gaussian.velocity, levels, noise());
      expect(taken.map(({ index }) => index)).toEqual(Array.from({ length: steps }, (_, i) => i));
      expect(taken.map(({ sigma }) => sigma)).toEqual([...levels.subarray(1)]);
      for (const { x } of taken) expect(x.every(Number.isFinite)).toBe(true);
    }
  });

  it('calls the network as often as the table says', async () => {
    for (const steps of [1, 2, 3, 8, 15, 28]) {
      let calls = 0;
      const counting: Velocity = (x, sigma) => {
        calls++;
        expect(sigma).toBeGreaterThan(0);
        expect(sigma).toBeLessThanOrEqual(1);
        return gaussian.velocity(x, sigma);
      };
      await walk(name, counting, sigmas.shifted.levels(steps, 1.15), noise());
      expect(calls, `${steps} steps`).toBe(evaluations(steps));
    }
  });

  it('ends with the image when the network predicts the same one at every level', async () => {
    const image = Float32Array.of(0.5, -1, 0.25, 2);
    const model: Velocity = async (x, sigma) => x.map((value, i) => (value - image[i]!) / sigma);
    for (const steps of [1, 2, 7, 20]) {
      const taken = await walk(name, model, sigmas.shifted.levels(steps, 1.15), noise());
      for (const [i, value] of taken.at(-1)!.x.entries()) expect(value).toBeCloseTo(image[i]!, 5);
    }
  });

  it('goes on from the sample that its caller puts in place of its own', async () => {
    const levels = sigmas.shifted.levels(9, 1.15);
    const seen: Float32Array[] = [];
    let fresh = true;
    const model: Velocity = async (x, sigma) => {
      if (fresh) seen.push(x);
      fresh = false;
      return gaussian.velocity(x, sigma);
    };
    const put: Float32Array[] = [];
    for await (const step of entries[name].run(model, start, { sigmas: levels, noise: noise() })) {
      step.x = step.x.map((value) => value / 2 - 1);
      put.push(step.x);
      fresh = true;
    }
    expect(seen.slice(1)).toEqual(put.slice(0, -1));
  });

  it('writes into nothing that it was given or has yielded', async () => {
    const x = start.slice();
    const levels = sigmas.shifted.levels(6, 1.15);
    const kept: [Float32Array, Float32Array][] = [[x, start]];
    const model: Velocity = async (sample, sigma) => {
      const v = await gaussian.velocity(sample, sigma);
      kept.push([sample, sample.slice()], [v, v.slice()]);
      return v;
    };
    const before = levels.slice();
    for await (const step of entries[name].run(model, x, { sigmas: levels, noise: noise() }))
      kept.push([step.x, step.x.slice()]);
    for (const [now, then] of kept) expect(now).toEqual(then);
    expect(levels).toEqual(before);
  });
});

describe.each(deterministic)('%s, which draws no noise', (name) => {
  it.each(spacings)('follows a constant velocity exactly on %s levels', async (spacing) => {
    const velocity = Float32Array.of(1, -2, 0.5, 3);
    for (const steps of [1, 2, 4, 17]) {
      for (const { sigma, x } of await walk(
        name,
        async () => velocity,
        sigmas[spacing].levels(steps, 1.15),
        never,
      ))
        for (const [i, value] of x.entries())
          expect(value).toBeCloseTo(start[i]! - (1 - sigma) * velocity[i]!, 4.5);
    }
  });

  it('has errors that fall with the step length to the power that the table says', async () => {
    const exact = [...start].map((x) => mixture.solution(x, 0.9, 0.2));
    const errorOf = async (steps: number) => {
      const { x } = (await walk(name, mixture.velocity, evenLevels(steps), never))[steps - 1]!;
      return Math.hypot(...exact.map((value, i) => value - x[i]!));
    };
    const order = Math.log2((await errorOf(32)) / (await errorOf(64)));
    expect(Math.abs(order - entries[name].converges), `order ${order}`).toBeLessThan(0.35);
  });
});

describe.each(stochastic)('%s, which draws noise', (name) => {
  const { converges, distilled } = entries[name];

  it('draws once a step but for the last, and the same noise gives the same samples', async () => {
    let draws = 0;
    const counted = (noise: Noise) => () => {
      draws++;
      return noise();
    };
    const levels = sigmas.shifted.levels(8, 1.15);
    const samples = (seed: bigint) => walk(name, gaussian.velocity, levels, counted(drawing(seed)));
    const first = await samples(1n);
    expect(draws).toBe(7);
    expect(await samples(1n)).toEqual(first);
    expect((await samples(2n)).at(-1)).not.toEqual(first.at(-1));
  });

  /**
   * On this flow a sample is linear in all the noise that went into it, so one run gives mean and deviation exactly:
   * one element without any noise, and one for every draw, which alone is 1 in it.
   */
  async function momentsAt(levels: Float64Array, step: number): Promise<{ mean: number; deviation: number }> {
    const width = levels.length + 1;
    const first = levels[0]!;
    const x = new Float32Array(width).fill((1 - first) * gaussian.mean);
    x[1]! += gaussian.spread(first);
    let draws = 0;
    const oneHot: Noise = () => {
      const noise = new Float32Array(width);
      noise[2 + draws++] = 1;
      return noise;
    };
    const steps = await walk(name, gaussian.velocity, levels, oneHot, x);
    const [mean, ...responses] = steps[step]!.x;
    return { mean: mean!, deviation: Math.hypot(...responses.map((value) => value - mean!)) };
  }

  it('has the mean of the target from any number of steps', async () => {
    for (const steps of [4, 28])
      expect((await momentsAt(sigmas.shifted.levels(steps, 1.15), steps - 1)).mean).toBeCloseTo(
        gaussian.mean,
        4,
      );
  });

  it('has a spread whose error falls with the power that the table says, or was made for distilled models', async () => {
    const errorOf = async (steps: number) =>
      Math.abs((await momentsAt(evenLevels(steps), steps - 1)).deviation - gaussian.spread(0.2));
    const [coarse, fine] = [await errorOf(32), await errorOf(64)];
    if (distilled) {
      expect(converges).toBe(0);
      expect(fine).toBeGreaterThan(0.7 * coarse);
      return;
    }
    // Below this the error is that of f32.
    if (fine > 2e-5) expect(Math.log2(coarse / fine)).toBeGreaterThan(converges - 0.35);
  });

  it('has the spread of the target at the end of a long run, or was made for distilled models', async () => {
    const { deviation } = await momentsAt(sigmas.uniform.levels(200, 0), 199);
    if (distilled) expect(deviation).toBeLessThan(0.92 * gaussian.deviation);
    else expect(Math.abs(deviation - gaussian.deviation)).toBeLessThan(converges === 1 ? 0.01 : 0.001);
  });
});

it('DDPM and DPM-Solver++ on the SDE of order 1 are the same step', async () => {
  const levels = sigmas.shifted.levels(12, 1.15);
  const [ddpm, sde] = await Promise.all(
    (['ddpm', 'dpmpp-sde'] as const).map((name) => walk(name, mixture.velocity, levels, drawing(3n))),
  );
  for (const [index, { x }] of ddpm!.entries())
    for (const [i, value] of x.entries()) expect(value).toBeCloseTo(sde![index]!.x[i]!, 5);
});
