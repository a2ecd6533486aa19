/**
 * Levels at even quantiles of a Beta distribution, dense at both ends. Lee et al. 2024 (arXiv 2407.12173); diffusers
 * `FlowMatchEulerDiscreteScheduler` with `use_beta_sigmas`.
 */
import type { Curve } from './types.ts';

/** Both parameters of the distribution, the paper's choice. */
const shape = 0.6;

export const beta: Curve = (r, max, min) => min + betaQuantile(1 - r) * (max - min);

/** The inverse of the Beta(0.6, 0.6) distribution function, by bisection to the last bit. */
export function betaQuantile(probability: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (distribution(middle) < probability) low = middle;
    else high = middle;
  }
  return probability <= 0 ? 0 : probability >= 1 ? 1 : (low + high) / 2;
}

/** The regularised incomplete beta function I_x(a, a). It is 1 - I_{1-x}(a, a), and the fraction converges below 1/2. */
function distribution(x: number): number {
  return x > 0.5 ? 1 - lowerHalf(1 - x) : lowerHalf(x);
}

function lowerHalf(x: number): number {
  if (x === 0) return 0;
  return (x ** shape * (1 - x) ** shape * normalisation) / shape / fraction(x);
}

/** The denominator of the continued fraction of I_x(a, a) (Numerical Recipes, 6.4), from its sixtieth term upwards. */
function fraction(x: number): number {
  let value = 1;
  for (let m = 60; m >= 1; m--) {
    const k = m >> 1;
    const numerator =
      m % 2 === 0
        ? (k * (shape - k) * x) / ((shape + m - 1) * (shape + m))
        : (-(shape + k) * (2 * shape + k) * x) / ((shape + m - 1) * (shape + m));
    value = 1 + numerator / value;
  }
  return value;
}

/** 1 / B(0.6, 0.6): half of the distribution lies below one half. */
const normalisation = (0.5 * shape * fraction(0.5)) / 0.5 ** (2 * shape);
