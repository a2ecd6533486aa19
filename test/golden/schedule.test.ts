import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Sampler, samplers } from '../../src/engine/samplers/index.ts';
import { fluxShift, resolutionShift, sigmas } from '../../src/engine/sigmas/index.ts';
import { preferredSizes } from '../../src/engine/sizes.ts';
import { guidanceInput, timestepInput } from '../../src/engine/timestep.ts';
import { difference } from './compare.ts';
import { goldenFile } from './data.ts';

type Rounded = { sigmas: number[]; embed_input_bf16: number[]; bfl_embed_input_bf16: number[] };
type Entry = {
  tokens: number;
  mu: number;
  bfl: Record<string, number[]>;
  diffusers: Record<string, Rounded>;
};
const schedule: Record<string, Entry> = JSON.parse(readFileSync(goldenFile('schedule.json'), 'utf8'));
const schedulers = JSON.parse(readFileSync(goldenFile('schedulers.json'), 'utf8'));

describe.each(preferredSizes)('the schedule at $width×$height', ({ width, height }) => {
  // A schedule depends on the number of tokens alone, so the table has one of each mirrored pair.
  const entry = (schedule[`${width}x${height}`] ?? schedule[`${height}x${width}`])!;
  const tokens = (width / 16) * (height / 16);
  const mu = resolutionShift(tokens, fluxShift);

  test('has the tokens and the shift of the table', () => {
    expect(tokens).toBe(entry.tokens);
    expect(mu).toBeCloseTo(entry.mu, 12);
  });

  test.each(Object.keys(entry.diffusers))('has the noise levels of both pipelines in %s steps', (steps) => {
    const found = sigmas.shifted(Number(steps), mu);
    // Both hold them in f32.
    expect(difference(found, entry.diffusers[steps]!.sigmas).maxAbs).toBeLessThan(2e-7);
    expect(difference(found, entry.bfl[steps]!).maxAbs).toBeLessThan(2e-7);
  });

  test.each(Object.keys(entry.diffusers))('feeds the network what both pipelines do in %s steps', (steps) => {
    const { embed_input_bf16, bfl_embed_input_bf16 } = entry.diffusers[steps]!;
    const levels = [...sigmas.shifted(Number(steps), mu)].slice(0, -1);
    expect(levels.map((sigma) => timestepInput(sigma, 'diffusers_bf16'))).toEqual(embed_input_bf16);
    expect(levels.map((sigma) => timestepInput(sigma, 'bfl_bf16'))).toEqual(bfl_embed_input_bf16);
    expect(levels.map((sigma) => timestepInput(sigma, 'none'))).toEqual(levels.map((sigma) => 1000 * sigma));
  });
});

test('the shift grows with the tokens as diffusers computes it', () => {
  for (const [tokens, mu] of Object.entries<number>(schedulers.mu)) {
    expect(resolutionShift(Number(tokens), fluxShift)).toBeCloseTo(mu, 12);
  }
});

test('a scheduler without dynamic shifting has its constant shift', () => {
  const config = { ...fluxShift, use_dynamic_shifting: false, shift: 1 };
  expect([...sigmas.shifted(4, resolutionShift(4096, config))]).toEqual([1, 0.75, 0.5, 0.25, 0]);
});

test.each([1, 2, 4, 8, 28])('%i steps at mu 1.15 have the noise levels of FlowMatchEuler', (steps) => {
  const expected = schedulers.sigmas[`n${steps}_mu1.15_default`];
  expect(difference(sigmas.shifted(steps, 1.15), expected).maxAbs).toBeLessThan(2e-7);
});

test('guidance is rounded as the bf16 pipelines round it', () => {
  const guidances = [2.5, 3.5, 4];
  expect(guidances.map((guidance) => guidanceInput(guidance, 'diffusers_bf16'))).toEqual([2496, 3504, 4000]);
  expect(guidances.map((guidance) => guidanceInput(guidance, 'bfl_bf16'))).toEqual([2496, 3504, 4000]);
  expect(guidances.map((guidance) => guidanceInput(guidance, 'none'))).toEqual([2500, 3500, 4000]);
});

/** The samplers on the flow to a Gaussian of mean m and deviation k, whose velocity is known exactly. */
describe('every sampler takes the path of its reference on a known flow', () => {
  const references = { euler: 'FlowMatchEuler' } satisfies Record<keyof typeof samplers, string>;
  const { x, noise_per_step } = schedulers.toy;
  const velocity = async (samples: Float32Array, sigma: number) => {
    const [m, k, a] = [0.7, 0.5, 1 - sigma];
    return samples.map((value) => {
      const x0 = m + ((a * k * k) / (a * a * k * k + sigma * sigma)) * (value - a * m);
      return (value - x0) / sigma;
    });
  };

  test.each(Object.entries<Sampler>(samplers))('%s', async (name, sampler) => {
    const expected: number[][] =
      schedulers['trajectories_n8_mu1.15_default'][references[name as keyof typeof samplers]];
    const levels = sigmas.shifted(8, 1.15);
    let drawn = 0;
    const noise = () => Float32Array.from(noise_per_step[drawn++]);
    const steps = [];
    for await (const step of sampler(velocity, Float32Array.from(x), levels, { noise })) steps.push(step);
    expect(steps.map((step) => step.index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(steps.map((step) => step.sigma)).toEqual([...levels.subarray(1)]);
    for (const step of steps) expect(difference(step.x, expected[step.index]!).maxAbs).toBeLessThan(1e-6);
  });
});
