/** The schedule FLUX was trained for: black-forest-labs/flux `sampling.py` `get_schedule`. */
import type { Sigmas } from './types.ts';

export const shifted: Sigmas = (steps, mu) => {
  const sigmas = new Float64Array(steps + 1);
  const shift = Math.exp(mu);
  for (let i = 0; i < steps; i++) {
    const u = 1 - i / steps;
    sigmas[i] = shift / (shift + (1 / u - 1));
  }
  return sigmas;
};
