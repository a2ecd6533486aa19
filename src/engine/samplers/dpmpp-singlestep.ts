/**
 * DPM-Solver++ in groups: a step of order 1, then one of order 2 (and of order 3) that starts again from where the group
 * began. Lu et al. 2022 (arXiv 2211.01095), algorithm 1; diffusers `DPMSolverSinglestepScheduler`.
 *
 * To start again from the group's first sample with its prediction m is to go on from here with m, less what the steps
 * in between added for their order. So it is written from here, where the caller may have put another sample.
 */
import { combine, type Term } from './combine.ts';
import { belowNoise, type Evaluation, halfLogSnr, stepwise } from './stepwise.ts';
import type { Sampler } from './types.ts';

export function dpmppSinglestep(highest: 2 | 3): Sampler {
  const run = stepwise(({ x, s, t, index, steps, now, past }) => {
    const order = ordersOf(steps, highest)[index]!;
    const start = order === 1 ? now : past[order - 2]!;
    const terms: Term[] = [
      [t / s, x],
      [1 - t / s, start.x0],
    ];
    if (order === 2) terms.push(...secondOrder(start, now, t));
    if (order === 3) {
      const undone = secondOrder(start, past[0]!, s);
      terms.push(...undone.map(([weight, x0]): Term => [(-t / s) * weight, x0]));
      terms.push(...thirdOrder(start, now, t));
    }
    return combine(...terms);
  });
  return (velocity, x, { sigmas, noise }) => run(velocity, x, { sigmas: belowNoise(sigmas), noise });
}

/** The order of every step; the run ends with one of order 1. */
function ordersOf(steps: number, highest: 2 | 3): number[] {
  const orders = Array.from({ length: steps }, (_, i) => (i % highest) + 1);
  orders[steps - 1] = 1;
  // A whole number of groups: the last is cut down by one order, as its last step is.
  if (highest === 2 || steps % 3 !== 0) return orders;
  return [...orders.slice(0, steps - 3), 1, 2, 1];
}

/** The terms that order 2 adds to a step from `start` to t when `now` lies between. */
function secondOrder(start: Evaluation, now: Evaluation, t: number): [Term, Term] {
  const weight = (1 - t / start.sigma) / 2 / ratio(start, now, t);
  return [
    [weight, now.x0],
    [-weight, start.x0],
  ];
}

function thirdOrder(start: Evaluation, now: Evaluation, t: number): [Term, Term] {
  const h = halfLogSnr(t) - halfLogSnr(start.sigma);
  const weight = ((1 - t) * (Math.expm1(-h) / h + 1)) / ratio(start, now, t);
  return [
    [weight, now.x0],
    [-weight, start.x0],
  ];
}

/** How far along λ from `start` to t the evaluation `now` lies. */
function ratio(start: Evaluation, now: Evaluation, t: number): number {
  const from = halfLogSnr(start.sigma);
  return (halfLogSnr(now.sigma) - from) / (halfLogSnr(t) - from);
}
