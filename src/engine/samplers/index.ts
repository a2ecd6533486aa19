import type { Plan } from '../plan.ts';
import { euler } from './euler.ts';
import type { Sampler } from './types.ts';

export type { Model, Sampler, Step } from './types.ts';

/** Every sampler by its name in a Plan. */
export const samplers = { euler } satisfies Record<Plan['sampler'], Sampler>;
