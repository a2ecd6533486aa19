/** Noise levels and samplers: schedule.json and schedulers.json. */
import fs from 'node:fs';
import type { Plan } from '../../../src/engine/plan.ts';
import { type Model, samplers } from '../../../src/engine/samplers/index.ts';
import { fluxShift, resolutionShift, sigmas } from '../../../src/engine/sigmas/index.ts';
import { timestepInput } from '../../../src/engine/timestep.ts';
import { sampler as samplerTolerance, sigma as tolerance } from '../tolerance.ts';
import { compared, type Lines } from './check.ts';

type Rounded = { sigmas: number[]; embed_input_bf16: number[]; bfl_embed_input_bf16: number[] };
type Entry = {
  tokens: number;
  mu: number;
  bfl?: Record<string, number[]>;
  diffusers?: Record<string, Rounded>;
};

export async function* checkSchedule(file: string): Lines {
  const table = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, Entry>;
  for (const [size, entry] of Object.entries(table)) {
    const name = `schedule ${size}`;
    const mu = resolutionShift(entry.tokens, fluxShift);
    yield compared(`${name} mu`, [mu], [entry.mu], 1e-12);
    for (const [steps, expected] of Object.entries(entry.bfl ?? {}))
      yield compared(`${name} bfl ${steps} steps`, sigmas.shifted(Number(steps), mu), expected, tolerance);
    for (const [steps, expected] of Object.entries(entry.diffusers ?? {})) {
      const levels = sigmas.shifted(Number(steps), mu);
      const inputs = (rounding: 'diffusers_bf16' | 'bfl_bf16') =>
        [...levels].slice(0, -1).map((level) => timestepInput(level, rounding));
      yield compared(`${name} diffusers ${steps} steps`, levels, expected.sigmas, tolerance);
      yield compared(
        `${name} diffusers ${steps} embed input`,
        inputs('diffusers_bf16'),
        expected.embed_input_bf16,
        0,
      );
      yield compared(
        `${name} bfl ${steps} embed input`,
        inputs('bfl_bf16'),
        expected.bfl_embed_input_bf16,
        0,
      );
    }
  }
}

/** The spacings and samplers there are, by the names the file gives them. */
const spacings: Record<string, Plan['sigmas']> = { default: 'shifted' };
const algorithms: Record<string, Plan['sampler']> = { FlowMatchEuler: 'euler' };

export async function* checkSchedulers(file: string): Lines {
  const table = JSON.parse(fs.readFileSync(file, 'utf8'));
  for (const [tokens, mu] of Object.entries<number>(table.mu ?? {}))
    yield compared(
      `schedulers mu of ${tokens} tokens`,
      [resolutionShift(Number(tokens), fluxShift)],
      [mu],
      1e-12,
    );
  for (const [key, expected] of Object.entries<number[]>(table.sigmas ?? {})) {
    const [, steps, mu = 0, spacing] = key.match(/^n(\d+)_(?:mu([\d.]+)|unshifted)_(\w+)$/) ?? [];
    const known = spacings[spacing ?? ''];
    if (known)
      yield compared(
        `schedulers sigmas ${key}`,
        sigmas[known](Number(steps), Number(mu)),
        expected,
        tolerance,
      );
    else yield { name: `schedulers sigmas ${key}`, skipped: 'there is no such spacing' };
  }
  for (const [key, paths] of Object.entries<Record<string, number[][]>>(table)) {
    const [, steps, mu, spacing] = key.match(/^trajectories_n(\d+)_mu([\d.]+)_(\w+)$/) ?? [];
    if (!steps) continue;
    for (const [algorithm, expected] of Object.entries(paths)) {
      const name = `schedulers ${key} ${algorithm}`;
      const [sampler, known] = [algorithms[algorithm], spacings[spacing!]];
      if (!sampler || !known) yield { name, skipped: 'there is no such sampler' };
      else
        yield compared(
          name,
          await path(sampler, sigmas[known](Number(steps), Number(mu)), table.toy),
          expected.flat(),
          samplerTolerance,
        );
    }
  }
}

type Toy = { def: string; x: number[]; noise_per_step: number[][] };

/** Every step of a sampler on the flow to a Gaussian of mean m and deviation k, whose velocity is known. */
async function path(
  name: Plan['sampler'],
  levels: Float64Array,
  { def, x, noise_per_step }: Toy,
): Promise<number[]> {
  const stated = (name: string) => Number(def.match(`\\b${name}=(-?[\\d.]+)`)?.[1]);
  const [m, k] = [stated('m'), stated('k')];
  const velocity: Model = async (samples, sigma) => {
    const a = 1 - sigma;
    return samples.map((value) => {
      const x0 = m + ((a * k * k) / (a * a * k * k + sigma * sigma)) * (value - a * m);
      return (value - x0) / sigma;
    });
  };
  let drawn = 0;
  const noise = () => Float32Array.from(noise_per_step[drawn++]!);
  const found: number[] = [];
  for await (const step of samplers[name](velocity, Float32Array.from(x), levels, { noise }))
    found.push(...step.x);
  return found;
}
