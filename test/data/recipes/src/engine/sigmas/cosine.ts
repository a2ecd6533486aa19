/** Levels along a quarter of a cosine, without a shift for the resolution. */
import type { Sigmas } from './types.ts';

export const cosine: Sigmas = (steps) =>
  Float64Array.from({ length: steps + 1 }, (_, i) => (i === steps ? 0 : Math.cos((Math.PI / 2) * (i / steps))));
