/**
 * Latent consistency sampling: the predicted image, noised anew to the next level. Luo et al. 2023 (arXiv 2310.04378);
 * diffusers `FlowMatchLCMScheduler`. Made for models distilled to predict the image in one evaluation.
 */
import { combine } from './combine.ts';
import { stepwise } from './stepwise.ts';

export const lcm = stepwise(({ t, now, noise }) => combine([1 - t, now.x0], [t, noise()]));
