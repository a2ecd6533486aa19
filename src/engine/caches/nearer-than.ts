import type { Decider } from './types.ts';

/** The rule that block caches share: one distance at a time, nothing added up. */
export function nearerThan(threshold: number): Decider {
  return { allows: (distance) => distance < threshold, computed: () => {} };
}
