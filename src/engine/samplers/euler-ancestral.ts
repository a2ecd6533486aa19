/**
 * Euler with fresh noise after every step: k-diffusion `sample_euler_ancestral` in the form a rectified flow needs,
 * ComfyUI `sample_euler_ancestral_RF`, diffusers `LTXEulerAncestralRFScheduler`.
 */
import { combine } from './combine.ts';
import { ancestral } from './rf-noise.ts';
import { stepwise } from './stepwise.ts';

export const eulerAncestral = stepwise(({ x, s, t, now, noise }) => {
  const split = ancestral(s, t);
  return combine([split.scale, x], [split.scale * (split.down - s), now.v], [split.noise, noise()]);
});
