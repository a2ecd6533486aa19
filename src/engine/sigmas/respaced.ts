import type { Curve, Sigmas } from './types.ts';

/**
 * Another spacing between the first and the last noisy level of `base`, as diffusers `FlowMatchEulerDiscreteScheduler`
 * orders it: the shift for the resolution is left in the last of them alone.
 */
export function respaced(base: Sigmas, curve: Curve): Sigmas {
  return (steps, mu) => {
    const sigmas = base(steps, mu);
    const [max, min] = [sigmas[0]!, sigmas[steps - 1]!];
    for (let i = 1; i < steps - 1; i++) sigmas[i] = curve(i / (steps - 1), max, min);
    return sigmas;
  };
}
