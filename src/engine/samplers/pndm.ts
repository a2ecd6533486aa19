/**
 * The pseudo linear multistep method as it is run in practice: the first step by Heun, then Adams-Bashforth. Liu et al.
 * 2022 (arXiv 2202.09778); diffusers `PNDMScheduler` with `skip_prk_steps`, carried over to the flow's velocity.
 */
import { adamsBashforth } from './adams-bashforth.ts';
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const pndm = stepwise(async ({ x, s, t, now, past, index, velocity }) => {
  if (index > 0) return adamsBashforth(x, t - s, [now, ...past]);
  const ahead = await velocity(combine([1, x], [t - s, now.v]), t);
  return combine([1, x], [(t - s) / 2, now.v], [(t - s) / 2, ahead]);
});
