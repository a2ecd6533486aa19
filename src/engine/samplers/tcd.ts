/**
 * Trajectory consistency sampling: past the next level, then back to it with fresh noise. Zheng et al. 2024
 * (arXiv 2402.19159), the noise scaled for a flow. Made for models distilled to jump along the trajectory.
 */
import { combine } from './combine.ts';
import { renoise } from './rf-noise.ts';
import { stepwise } from './stepwise.ts';

/** γ: 0 is Euler, 1 is latent consistency sampling; the paper's and diffusers' default. */
const stochasticity = 0.3;

export const tcd = stepwise(({ x, s, t, now, noise }) => {
  const split = renoise((1 - stochasticity) * t, t);
  return combine([split.scale, x], [split.scale * (split.down - s), now.v], [split.noise, noise()]);
});
