/** The explicit midpoint method on dx/dσ = v: two evaluations a step. */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const midpoint = stepwise(async ({ x, s, t, now, velocity }) => {
  const middle = (s + t) / 2;
  const v = await velocity(combine([1, x], [middle - s, now.v]), middle);
  return combine([1, x], [t - s, v]);
});
