/** Euler on the flow's ODE dx/dσ = v: diffusers `FlowMatchEulerDiscreteScheduler`, black-forest-labs/flux `denoise`. */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const euler = stepwise(({ x, s, t, now }) => combine([1, x], [t - s, now.v]));
