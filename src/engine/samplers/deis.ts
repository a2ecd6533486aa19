/**
 * DEIS, the variant in log ρ: the predicted noise as a polynomial in ln ρ, ρ = σ/(1-σ), integrated exactly. Zhang and
 * Chen 2023 (arXiv 2204.13902), section 3; diffusers `DEISMultistepScheduler`, which stops before σ = 0.
 */
import { combine, type Term } from './combine.ts';
import { type Evaluation, stepwise } from './stepwise.ts';
import type { Sampler } from './types.ts';

export function deis(highest: 2 | 3): Sampler {
  return stepwise(({ x, s, t, now, past: all }) => {
    // At σ = 1 ρ is infinite: a polynomial in ln ρ takes nothing from there.
    const past = all.filter(({ sigma }) => sigma < 1);
    const order = s < 1 ? Math.min(highest, past.length + 1) : 1;
    if (order === 1) return combine([1, x], [t - s, now.v]);
    const known = [now, ...past].slice(0, order);
    const nodes = known.map(({ sigma }) => Math.log(sigma / (1 - sigma)));
    const integrate = order === 2 ? integrateLine : integrateParabola;
    const weights = known.map((_, j) => {
      const others = nodes.filter((_, k) => k !== j);
      const integral = (rho: number) => integrate(rho, nodes[j]!, others);
      return (1 - t) * (integral(t / (1 - t)) - integral(s / (1 - s)));
    });
    // The predicted noise, x + (1-σ)·v, is (x0 + v) of the same evaluation.
    const noise = known.flatMap((evaluation, j) => noiseTerms(evaluation, weights[j]!));
    return combine([(1 - t) / (1 - s), x], ...noise);
  });
}

function noiseTerms({ x0, v }: Evaluation, weight: number): [Term, Term] {
  return [
    [weight, x0],
    [weight, v],
  ];
}

/** An antiderivative in ρ of the line in ln ρ that is 1 at b and 0 at c. */
function integrateLine(rho: number, b: number, [c]: number[]): number {
  return (rho * (Math.log(rho) - c! - 1)) / (b - c!);
}

/** The same of the parabola that is 1 at b and 0 at c and d. */
function integrateParabola(rho: number, b: number, [c, d]: number[]): number {
  const log = Math.log(rho);
  return (rho * ((log - 1) ** 2 + 1 - (c! + d!) * (log - 1) + c! * d!)) / ((b - c!) * (b - d!));
}
