/**
 * DPM-Solver++ by several steps: the predicted image is extrapolated in λ and the rest of the ODE solved exactly.
 * Lu et al. 2022 (arXiv 2211.01095), section 4; diffusers `DPMSolverMultistepScheduler` (`dpmsolver++`, midpoint).
 */
import { combine } from './combine.ts';
import { halfLogSnr, type Interval, stepwise } from './stepwise.ts';
import type { Sampler } from './types.ts';

/** Short runs end with lower orders: their last steps are too long for a polynomial (diffusers `lower_order_final`). */
const shortRun = 15;

/** The order a step may have: as many evaluations as there are, fewer near the end of a short run. */
function orderOf({ index, steps, past }: Interval, highest: number): number {
  const left = steps < shortRun ? steps - index : highest;
  return Math.min(highest, past.length + 1, left);
}

/** Order 2 and 3; of order 1 it is Euler. */
export function dpmpp(highest: 2 | 3): Sampler {
  return stepwise((interval) => {
    const { x, s, t, now, past } = interval;
    const order = orderOf(interval, highest);
    const h = halfLogSnr(t) - halfLogSnr(s);
    const base = [
      [t / s, x],
      [1 - t / s, now.x0],
    ] as const;
    if (order === 1) return combine(...base);
    const { r0, r1 } = ratios(interval, h);
    const [before, earlier] = past;
    if (order === 2) {
      const half = (1 - t / s) / 2 / r0;
      return combine(...base, [half, now.x0], [-half, before!.x0]);
    }
    // The weight of the second difference is half of Taylor's, as in the paper's code and everywhere since.
    const first = (1 - t) * (Math.expm1(-h) / h + 1);
    const second = -(1 - t) * ((Math.expm1(-h) + h) / h ** 2 - 0.5);
    const weights = differences({ r0, r1 }, first, second);
    return combine(...base, [weights[0], now.x0], [weights[1], before!.x0], [weights[2], earlier!.x0]);
  });
}

/** The lengths in λ of the two steps before, in steps of the present length h; the first from pure noise is infinite. */
export function ratios({ s, past }: Interval, h: number): { r0: number; r1: number } {
  const [before, earlier] = past;
  const distance = (from: number, to: number) => (halfLogSnr(to) - halfLogSnr(from)) / h;
  return {
    r0: before ? distance(before.sigma, s) : Number.NaN,
    r1: before && earlier ? distance(earlier.sigma, before.sigma) : Number.NaN,
  };
}

/**
 * first·D1 + second·D2 as weights of the last three predictions. D1 and D2 are the divided differences of a parabola:
 * d0 = (m0-m1)/r0, d1 = (m1-m2)/r1, D1 = d0 + r0/(r0+r1)·(d0-d1), D2 = (d0-d1)/(r0+r1).
 */
export function differences(
  { r0, r1 }: { r0: number; r1: number },
  first: number,
  second: number,
): [number, number, number] {
  const onFirst = first + (first * r0 + second) / (r0 + r1);
  const onSecond = -(first * r0 + second) / (r0 + r1);
  return [onFirst / r0, -onFirst / r0 + onSecond / r1, -onSecond / r1];
}
