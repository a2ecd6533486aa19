/** DPM-Solver-2 with fresh noise after every step: ComfyUI `sample_dpm_2_ancestral_RF`. */
import { combine } from './combine.ts';
import { ancestral } from './rf-noise.ts';
import { stepwise } from './stepwise.ts';

export const dpm2Ancestral = stepwise(async ({ x, s, t, now, velocity, noise }) => {
  const split = ancestral(s, t);
  const middle = Math.sqrt(s * split.down);
  const v = await velocity(combine([1, x], [middle - s, now.v]), middle);
  return combine([split.scale, x], [split.scale * (split.down - s), v], [split.noise, noise()]);
});
