/**
 * Dual-Block Cache without blocks at the end: as First-Block Cache, but a head of several blocks runs and decides (F8B0
 * in its authors' notation). vipshop/cache-dit. How many blocks the head has is in `models/flux-segments.ts`.
 */
import { nearerThan } from './nearer-than.ts';
import type { StepCache } from './types.ts';

export const dualBlock: StepCache = {
  title: 'Dual-Block Cache',
  after: 'head',
  against: 'computed',
  decider: nearerThan,
};
