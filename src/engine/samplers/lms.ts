/**
 * Linear multistep of order 4: the polynomial through the last velocities, integrated over the step. Adams-Bashforth on
 * uneven levels; k-diffusion `sample_lms`, diffusers `LMSDiscreteScheduler`.
 */
import { combine } from './combine.ts';
import { type Evaluation, stepwise } from './stepwise.ts';

export const lms = stepwise(({ x, s, t, now, past }) => {
  const known = [now, ...past];
  return combine([1, x], ...known.map(({ v }, j) => [integrateBasis(known, j, s, t), v] as const));
});

/** The integral from s to t of the Lagrange polynomial that is 1 at level j: Gauss's two points are exact for a cubic. */
function integrateBasis(known: readonly Evaluation[], j: number, s: number, t: number): number {
  const [middle, half] = [(s + t) / 2, (t - s) / 2];
  const at = known[j]!.sigma;
  const basis = (sigma: number) =>
    known.reduce((product, other, k) => {
      return k === j ? product : (product * (sigma - other.sigma)) / (at - other.sigma);
    }, 1);
  const offset = half / Math.sqrt(3);
  return half * (basis(middle - offset) + basis(middle + offset));
}
