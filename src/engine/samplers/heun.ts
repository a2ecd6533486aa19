/**
 * Heun's second-order method on dx/dσ = v: Karras et al. 2022 (arXiv 2206.00364), algorithm 1; diffusers
 * `FlowMatchHeunDiscreteScheduler`. Two evaluations a step but for the last.
 */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const heun = stepwise(async ({ x, s, t, now, velocity }) => {
  const ahead = await velocity(combine([1, x], [t - s, now.v]), t);
  return combine([1, x], [(t - s) / 2, now.v], [(t - s) / 2, ahead]);
});
