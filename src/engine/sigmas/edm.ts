/**
 * The levels of the EDM models, 80 to 0.002 by Karras's curve in the noise-to-signal ratio ρ = σ/(1-σ), carried over to a
 * flow. Karras et al. 2022 (arXiv 2206.00364), table 1. The first level is raised to 1: a run starts from pure noise.
 */
import { karras } from './karras.ts';
import type { Sigmas } from './types.ts';

const [max, min] = [80, 0.002];

export const edm: Sigmas = (steps) => {
  const sigmas = new Float64Array(steps + 1);
  sigmas[0] = 1;
  for (let i = 1; i < steps; i++) {
    const ratio = karras(i / (steps - 1), max, min);
    sigmas[i] = ratio / (1 + ratio);
  }
  return sigmas;
};
