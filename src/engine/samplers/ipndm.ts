/**
 * The fourth-order pseudo linear multistep method without a warm-up of several evaluations. Zhang and Chen 2023
 * (arXiv 2204.13902); ComfyUI `sample_ipndm`.
 */
import { adamsBashforth } from './adams-bashforth.ts';
import { stepwise } from './stepwise.ts';

export const ipndm = stepwise(({ x, s, t, now, past }) => adamsBashforth(x, t - s, [now, ...past]));
