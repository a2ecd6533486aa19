/**
 * Even steps of σ, without the shift to high noise that large images otherwise get. The hosted service names these
 * schedulers and publishes no formula for them; this is what the word says.
 */
import { shifted } from './shifted.ts';
import type { Sigmas } from './types.ts';

export const uniform: Sigmas = (steps) => shifted(steps, 0);
