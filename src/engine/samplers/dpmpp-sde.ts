/**
 * DPM-Solver++ on the reverse SDE instead of the ODE, by up to three steps: as much noise is taken away again as every
 * step adds (η = 1). k-diffusion `sample_dpmpp_2m_sde` and `sample_dpmpp_3m_sde`, diffusers `sde-dpmsolver++`, whose
 * third order has the wrong sign in one term: here it is k-diffusion's.
 */
import { combine, type Term } from './combine.ts';
import { differences, ratios } from './dpmpp.ts';
import { halfLogSnr, stepwise } from './stepwise.ts';
import type { Sampler } from './types.ts';

/** @param form of the second-order term: both are of that order, peers use `midpoint` */
export function dpmppSde(highest: 1 | 2 | 3, form: 'midpoint' | 'heun' = 'midpoint'): Sampler {
  return stepwise((interval) => {
    const { x, s, t, now, past, noise } = interval;
    const h = halfLogSnr(t) - halfLogSnr(s);
    // e^{-h} and e^{-2h}: 0 from pure noise, all of which is replaced.
    const kept = Math.exp(-h);
    const drop = -Math.expm1(-2 * h);
    const terms: Term[] = [
      [(t / s) * kept, x],
      [(1 - t) * drop, now.x0],
      [t * Math.sqrt(drop), noise()],
    ];
    const order = Math.min(highest, past.length + 1);
    if (order === 1) return combine(...terms);
    const { r0, r1 } = ratios(interval, h);
    const [before, earlier] = past;
    const exact = 1 - drop / (2 * h);
    if (order === 2) {
      const weight = highest === 2 && form === 'midpoint' ? drop / 2 : exact;
      const onFirst = ((1 - t) * weight) / r0;
      return combine(...terms, [onFirst, now.x0], [-onFirst, before!.x0]);
    }
    const second = exact / (2 * h) - 0.5;
    const weights = differences({ r0, r1 }, (1 - t) * exact, -(1 - t) * second);
    return combine(...terms, [weights[0], now.x0], [weights[1], before!.x0], [weights[2], earlier!.x0]);
  });
}
