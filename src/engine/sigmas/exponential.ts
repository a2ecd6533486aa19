/** Even steps of ln σ: k-diffusion `get_sigmas_exponential`. */
import type { Curve } from './types.ts';

export const exponential: Curve = (r, max, min) => max * (min / max) ** r;
