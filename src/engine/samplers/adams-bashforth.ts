/** The explicit Adams method with the coefficients of even steps, by how many velocities are known. */
import { combine, type Term } from './combine.ts';
import type { Evaluation } from './stepwise.ts';

const coefficients: readonly (readonly number[])[] = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/** x after a step of length dt; the latest evaluation comes first, and at most four count. */
export function adamsBashforth(x: Float32Array, dt: number, known: readonly Evaluation[]): Float32Array {
  const weights = coefficients[Math.min(known.length, coefficients.length) - 1]!;
  return combine([1, x], ...weights.map((weight, j): Term => [dt * weight, known[j]!.v]));
}
