/**
 * First-Block Cache: the first block always runs; its residual predicts whether the residual of the others has changed
 * since the last computed step. chengzeyi/ParaAttention `first_block_cache`, diffusers `hooks/first_block_cache.py`.
 */
import { nearerThan } from './nearer-than.ts';
import type { StepCache } from './types.ts';

export const firstBlock: StepCache = {
  title: 'First-Block Cache',
  after: 'first',
  against: 'computed',
  decider: nearerThan,
};
