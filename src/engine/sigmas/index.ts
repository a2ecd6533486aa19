import type { Plan } from '../plan.ts';
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

/** Every spacing by its name in a Plan. */
export const sigmas = {
  shifted,
  karras: respaced(shifted, karras),
  exponential: respaced(shifted, exponential),
  beta: respaced(shifted, beta),
  uniform,
  'uniform-karras': respaced(uniform, karras),
  'uniform-exponential': respaced(uniform, exponential),
  'uniform-beta': respaced(uniform, beta),
  edm,
} satisfies Record<Plan['sigmas'], Sigmas>;
