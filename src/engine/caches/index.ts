import type { CacheName } from '../plan.ts';
import { dualBlock } from './dual-block.ts';
import { firstBlock } from './first-block.ts';
import { tea } from './tea.ts';
import type { StepCache } from './types.ts';

export { CacheClock } from './clock.ts';
export type { StepCache } from './types.ts';

/** Every step cache by its name in a Plan. */
export const caches = {
  tea,
  'first-block': firstBlock,
  'dual-block': dualBlock,
} satisfies Record<CacheName, StepCache>;
