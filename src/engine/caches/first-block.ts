/**
 * First-Block Cache: the first block always runs, and what it adds tells whether the others would add the same as they
 * last did. chengzeyi/ParaAttention `first_block_cache`, diffusers `hooks/first_block_cache.py`.
 */
import { nearerThan } from './nearer-than.ts';
import type { StepCache } from './types.ts';

export const firstBlock: StepCache = {
  title: 'First-Block Cache',
  after: 'first',
  against: 'computed',
  decider: nearerThan,
};
