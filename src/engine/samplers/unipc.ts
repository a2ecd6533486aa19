/**
 * UniPC: a predictor and a corrector of the same order that share every evaluation. Zhao et al. 2023
 * (arXiv 2302.04867), algorithms 5 and 6 with B(h) = e^h - 1; diffusers `UniPCMultistepScheduler` (`bh2`).
 */
import { combine, type Term } from './combine.ts';
import { belowNoise, evaluationOf, halfLogSnr } from './stepwise.ts';
import type { Sampler } from './types.ts';

/** The image predicted at a level. */
type Prediction = { lambda: number; x0: Float32Array };

/** The step just taken, which the next evaluation corrects. */
type Taken = { x: Float32Array; s: number; order: number; predicted: Float32Array };

export function unipc(highest: 2 | 3): Sampler {
  return async function* (velocity, x, { sigmas }) {
    const levels = belowNoise(sigmas);
    const steps = levels.length - 1;
    let past: Prediction[] = [];
    let taken: Taken | undefined;
    for (let index = 0; index < steps; index++) {
      const [s, t] = [levels[index]!, levels[index + 1]!];
      const { x0 } = evaluationOf(x, await velocity(x, s), s);
      const now = { lambda: halfLogSnr(s), x0 };
      if (taken) {
        const corrected = advance(taken.x, taken.s, s, past, taken.order, now);
        // A change that the caller made to the predicted sample is kept in the corrected one.
        x = x === taken.predicted ? corrected : combine([1, corrected], [1, x], [-1, taken.predicted]);
      }
      past = [now, ...past].slice(0, highest);
      const order = Math.min(highest, steps - index, index + 1);
      const predicted = t === 0 ? x0 : advance(x, s, t, past, order);
      taken = { x, s, order, predicted };
      const step = { index, sigma: sigmas[index + 1]!, x: predicted };
      yield step;
      x = step.x;
    }
  };
}

/** One step of the predictor from s to t, or of the corrector when the prediction at t is known. */
function advance(
  x: Float32Array,
  s: number,
  t: number,
  past: readonly Prediction[],
  order: number,
  ahead?: Prediction,
): Float32Array {
  const now = past[0]!;
  const lambda = halfLogSnr(t);
  const h = lambda - now.lambda;
  const others = [...past.slice(1, order), ...(ahead ? [ahead] : [])];
  const ratios = others.map((other) => (other === ahead ? 1 : (other.lambda - now.lambda) / h));
  const weights = residualWeights(ratios, -h);
  const terms: Term[] = others.flatMap((other, k): Term[] => {
    const weight = ((1 - t / s) * weights[k]!) / ratios[k]!;
    return [
      [weight, other.x0],
      [-weight, now.x0],
    ];
  });
  return combine([t / s, x], [1 - t / s, now.x0], ...terms);
}

/** The solution of Σ_k r_k^(i-1)·w_k = b_i; a single unknown is one half, in the paper as in its code. */
function residualWeights(ratios: readonly number[], hh: number): number[] {
  if (ratios.length <= 1) return ratios.map(() => 0.5);
  const scale = Math.expm1(hh);
  const right: number[] = [];
  let phi = scale / hh - 1;
  let factorial = 1;
  for (let i = 1; i <= ratios.length; i++) {
    right.push((phi * factorial) / scale);
    factorial *= i + 1;
    phi = phi / hh - 1 / factorial;
  }
  return solve(
    right.map((_, i) => ratios.map((ratio) => ratio ** i)),
    right,
  );
}

/** Gauss-Jordan; the matrix is Vandermonde's of up to three distinct ratios. */
function solve(matrix: number[][], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  for (let i = 0; i < rows.length; i++) {
    const pivot = rows.findIndex((row, k) => k >= i && row[i] !== 0);
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    const scaled = rows[i]!.map((value) => value / rows[i]![i]!);
    for (const [k, row] of rows.entries())
      rows[k] = k === i ? scaled : row.map((value, j) => value - row[i]! * scaled[j]!);
  }
  return rows.map((row) => row.at(-1)!);
}
