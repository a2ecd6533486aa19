import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { preferredSizes } from '../../src/engine/image/sizes.ts';
import { guidanceInput, timestepInput } from '../../src/engine/latents/timestep.ts';
import { samplers } from '../../src/engine/samplers/index.ts';
import { fluxShift, resolutionShift, sigmas } from '../../src/engine/sigmas/index.ts';
import type { Line } from './checks/check.ts';
import { algorithmOf, checkSchedulers } from './checks/schedulers.ts';
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
    const found = sigmas.shifted.levels(Number(steps), mu);
    // Both hold them in f32.
    expect(difference(found, entry.diffusers[steps]!.sigmas).maxAbs).toBeLessThan(2e-7);
    expect(difference(found, entry.bfl[steps]!).maxAbs).toBeLessThan(2e-7);
  });

  test.each(Object.keys(entry.diffusers))('feeds the network what both pipelines do in %s steps', (steps) => {
    const { embed_input_bf16, bfl_embed_input_bf16 } = entry.diffusers[steps]!;
    const levels = [...sigmas.shifted.levels(Number(steps), mu)].slice(0, -1);
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
  expect([...sigmas.shifted.levels(4, resolutionShift(4096, config))]).toEqual([1, 0.75, 0.5, 0.25, 0]);
});

test.each([1, 2, 4, 8, 28])('%i steps at mu 1.15 have the noise levels of FlowMatchEuler', (steps) => {
  const expected = schedulers.sigmas[`n${steps}_mu1.15_default`];
  expect(difference(sigmas.shifted.levels(steps, 1.15), expected).maxAbs).toBeLessThan(2e-7);
});

test('guidance is rounded as the bf16 pipelines round it', () => {
  const guidances = [2.5, 3.5, 4];
  expect(guidances.map((guidance) => guidanceInput(guidance, 'diffusers_bf16'))).toEqual([2496, 3504, 4000]);
  expect(guidances.map((guidance) => guidanceInput(guidance, 'bfl_bf16'))).toEqual([2496, 3504, 4000]);
  expect(guidances.map((guidance) => guidanceInput(guidance, 'none'))).toEqual([2500, 3500, 4000]);
});

describe('every spacing and sampler agrees with its reference on a known flow', async () => {
  const lines: Line[] = [];
  for await (const line of checkSchedulers(goldenFile('schedulers.json'))) lines.push(line);

  test.each(lines.map((line) => [line.name, line] as const))('%s', (_, line) => {
    expect(line).toMatchObject({ pass: true });
  });

  test('and none is left out of the table', () => {
    const algorithms = Object.keys(schedulers['trajectories_n8_mu1.15_default']).map(algorithmOf);
    const compared = new Set(algorithms.map((algorithm) => algorithm?.run));
    const left = Object.entries(samplers).filter(([, { run }]) => !compared.has(run));
    // DDPM has no flow form elsewhere; the contract test shows it to be DPM-Solver++'s SDE of order 1.
    expect(left.map(([name]) => name)).toEqual(['ddpm']);
  });
});
