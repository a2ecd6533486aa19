/**
 * Even steps of σ, without the shift to high noise that large images otherwise get. The hosted service names these
 * schedulers and publishes no formula; this is the usual meaning of the word.
 */
import { shifted } from './shifted.ts';
import type { Sigmas } from './types.ts';

export const uniform: Sigmas = (steps) => shifted(steps, 0);
