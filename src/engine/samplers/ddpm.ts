/**
 * DDPM: a draw from the posterior q(x_t | x_s, x0). Ho et al. 2020 (arXiv 2006.11239), equation 7, with the flow's own
 * signal 1-σ in place of √ᾱ; the published schedulers have no flow form.
 */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const ddpm = stepwise(({ x, s, t, now, noise }) => {
  const shrink = (1 - s) / (1 - t);
  // Variance of the noise that takes a sample at t back up to s.
  const variance = s * s - (shrink * t) ** 2;
  return combine(
    [(shrink * t * t) / (s * s), x],
    [((1 - t) * variance) / (s * s), now.x0],
    [(t / s) * Math.sqrt(variance), noise()],
  );
});
