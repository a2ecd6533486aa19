/**
 * DPM-Solver-2: the midpoint method with the midpoint in log σ. Lu et al. 2022 (arXiv 2206.00927), Karras et al. 2022
 * (arXiv 2206.00364); k-diffusion `sample_dpm_2`, which is valid on a flow since (x - x0)/σ is its velocity.
 */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const dpm2 = stepwise(async ({ x, s, t, now, velocity }) => {
  const middle = Math.sqrt(s * t);
  const v = await velocity(combine([1, x], [middle - s, now.v]), middle);
  return combine([1, x], [t - s, v]);
});
