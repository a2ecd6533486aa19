import type { Plan } from '../plan.ts';
import { shifted } from './shifted.ts';
import type { Sigmas } from './types.ts';

export { fluxShift, resolutionShift } from './resolution-shift.ts';
export type { ShiftConfig, Sigmas } from './types.ts';

/** Every spacing by its name in a Plan. */
export const sigmas = { shifted } satisfies Record<Plan['sigmas'], Sigmas>;
