/** Shared by the samplers: the loop over the levels, and the memory of earlier evaluations. */
import { combine } from './combine.ts';
import type { Sampler, Velocity } from './types.ts';

/** One evaluation of the network: its velocity and the image that follows from it, x0 = x - σ·v. */
export type Evaluation = { sigma: number; v: Float32Array; x0: Float32Array };

/** One step from level s down to t > 0. */
export type Interval = {
  s: number;
  t: number;
  /** 0 for the first step. */
  index: number;
  /** Number of steps of the run. */
  steps: number;
  x: Float32Array;
  /** The present evaluation, at x and s. */
  now: Evaluation;
  /** Earlier evaluations, the latest first. */
  past: readonly Evaluation[];
  velocity: Velocity;
  noise: () => Float32Array;
};

/** Evaluations kept; no formula here looks further back. */
const remembered = 3;

/**
 * Builds a sampler from the arithmetic of one step. Every sampler ends with the image that the last evaluation predicts:
 * at t = 0 every formula reduces to it, since no noise remains.
 */
export function stepwise(advance: (interval: Interval) => Float32Array | Promise<Float32Array>): Sampler {
  return async function* (velocity, x, { sigmas, noise }) {
    const steps = sigmas.length - 1;
    let past: Evaluation[] = [];
    for (let index = 0; index < steps; index++) {
      const [s, t] = [sigmas[index]!, sigmas[index + 1]!];
      const now = evaluationOf(x, await velocity(x, s), s);
      const next = t === 0 ? now.x0 : await advance({ s, t, index, steps, x, now, past, velocity, noise });
      const step = { index, sigma: t, x: next };
      yield step;
      x = step.x;
      past = [now, ...past].slice(0, remembered);
    }
  };
}

export function evaluationOf(x: Float32Array, v: Float32Array, sigma: number): Evaluation {
  return { sigma, v, x0: combine([1, x], [-sigma, v]) };
}

/**
 * λ(σ) = ln((1-σ)/σ), half the logarithm of the signal-to-noise ratio, in which DPM-Solver and its relatives measure
 * steps: -∞ at pure noise, ∞ at the image.
 */
export function halfLogSnr(sigma: number): number {
  return Math.log((1 - sigma) / sigma);
}

/**
 * Levels that begin just below 1, for formulas that divide by differences of λ. As the peers do (diffusers
 * `UniPCMultistepScheduler` and `DPMSolverSinglestepScheduler` on flow levels).
 */
export function belowNoise(sigmas: Float64Array): Float64Array {
  return sigmas.map((sigma) => Math.min(sigma, 1 - 1e-6));
}
