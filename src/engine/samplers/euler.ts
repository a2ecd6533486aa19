/** Euler on the flow's ODE dx/dσ = v: diffusers `FlowMatchEulerDiscreteScheduler`, black-forest-labs/flux `denoise`. */
import type { Sampler } from './types.ts';

export const euler: Sampler = async function* (model, x, sigmas) {
  for (let index = 0; index + 1 < sigmas.length; index++) {
    const v = await model(x, sigmas[index]!);
    const dt = sigmas[index + 1]! - sigmas[index]!;
    const step = { index, sigma: sigmas[index + 1]!, x: x.map((value, i) => value + dt * v[i]!) };
    yield step;
    x = step.x;
  }
};
