import { beta } from './beta.ts';
import { edm } from './edm.ts';
import { exponential } from './exponential.ts';
import { karras } from './karras.ts';
import { respaced } from './respaced.ts';
import { shifted } from './shifted.ts';
import type { Sigmas } from './types.ts';
import { uniform } from './uniform.ts';

export { fluxShift, resolutionShift } from './resolution-shift.ts';
export type { ShiftConfig, Sigmas } from './types.ts';

/** A spacing, and how its levels are spread, in a few words. */
export type SigmasEntry = { levels: Sigmas; title: string };

/** Every spacing by its name in a Plan, with the words that docs/reference/schedulers.md has for it. */
export const sigmas = {
  shifted: {
    levels: shifted,
    title: "FLUX's own: even steps, shifted to high noise the more the larger the picture",
  },
  karras: {
    levels: respaced(shifted, karras),
    title: 'even steps of σ^(1/7) between the first and the last level of `shifted`',
  },
  exponential: { levels: respaced(shifted, exponential), title: 'even steps of ln σ between the same two' },
  beta: { levels: respaced(shifted, beta), title: 'even quantiles of Beta(0.6, 0.6) between the same two' },
  uniform: { levels: uniform, title: 'even steps of σ without any shift' },
  'uniform-karras': {
    levels: respaced(uniform, karras),
    title: 'as `karras`, between the ends of `uniform`',
  },
  'uniform-exponential': {
    levels: respaced(uniform, exponential),
    title: 'as `exponential`, between the ends of `uniform`',
  },
  'uniform-beta': { levels: respaced(uniform, beta), title: 'as `beta`, between the ends of `uniform`' },
  edm: { levels: edm, title: "the EDM models' levels, 80 to 0.002 in ρ = σ/(1-σ), carried over to a flow" },
} satisfies Record<string, SigmasEntry>;

export type SigmasName = keyof typeof sigmas;
