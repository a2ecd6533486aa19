/** Noise levels of the pipelines: schedule.json. */
import fs from 'node:fs';
import { timestepInput } from '../../../src/engine/latents/timestep.ts';
import { fluxShift, resolutionShift, sigmas } from '../../../src/engine/sigmas/index.ts';
import { sigma as tolerance } from '../tolerance.ts';
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
      yield compared(
        `${name} bfl ${steps} steps`,
        sigmas.shifted.levels(Number(steps), mu),
        expected,
        tolerance,
      );
    for (const [steps, expected] of Object.entries(entry.diffusers ?? {})) {
      const levels = sigmas.shifted.levels(Number(steps), mu);
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
