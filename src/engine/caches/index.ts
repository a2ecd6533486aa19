import { dualBlock } from './dual-block.ts';
import { firstBlock } from './first-block.ts';
import { tea } from './tea.ts';
import type { CacheWindow, StepCache } from './types.ts';

export { CacheClock } from './clock.ts';
export type { StepCache } from './types.ts';

/** Every step cache by its name in a Plan. */
export const caches = {
  tea,
  'first-block': firstBlock,
  'dual-block': dualBlock,
} satisfies Record<string, StepCache>;

export type CacheName = keyof typeof caches;

/** A step cache in a Plan. The threshold is in the cache's own measure: higher values reuse more, 0 reuses nothing. */
export type CachePlan = CacheWindow & { name: CacheName; threshold: number };
