/** acceleratorOptions → a CachePlan with all defaults applied. docs/guide/step-caches.md explains the parameters. */
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { CachePlan } from '../../engine/plan.ts';

type Options = NonNullable<ImageInferenceTask['acceleratorOptions']>;

/**
 * TeaCache's threshold at distance 1. The default distance of a half is 0.22, which its authors recommend for Kontext.
 */
const farthestTea = 0.44;

/** cache-dit's warm-up for short runs: the first steps decide the layout and are always computed. */
const warmUp = 4;

export function cachePlan(options: Options | undefined, steps: number): CachePlan | undefined {
  if (!options) return undefined;
  const { cacheMaxConsecutiveSteps: limit, dbCacheSkipInterval: interval } = options;
  const from = bound(options.cacheStartStep, options.cacheStartStepPercentage, steps, Math.floor);
  const to = bound(options.cacheEndStep, options.cacheEndStepPercentage, steps, Math.ceil) ?? steps;
  const window = { from: from ?? 0, to, maxConsecutive: limit ?? 3 };
  if (options.teaCache) return { name: 'tea', threshold: farthestTea * options.teaCacheDistance, ...window };
  if (options.fbCache)
    return { name: 'first-block', threshold: blockThreshold(options.fbCacheThreshold), ...window };
  if (!options.dbCache) return undefined;
  return {
    name: 'dual-block',
    threshold: blockThreshold(options.dbCacheThreshold),
    from: from ?? Math.min(warmUp, to - 1),
    to,
    // dbCacheSkipInterval is the limit, so that its default of 5 can be reached; cacheMaxConsecutiveSteps limits only
    // when the request has it.
    maxConsecutive: Math.min(interval, limit ?? interval),
  };
}

/** At an interval of 1 there is nothing to keep. */
export function referencePlan(options: Options | undefined): { referenceInterval?: number } {
  if (!options?.referenceCache || options.referenceCacheInterval === 1) return {};
  return { referenceInterval: options.referenceCacheInterval };
}

/**
 * Both block caches reuse while the change is below a threshold; on the page the sense is inverted: lower values reuse
 * more. With (1 − t)/3 the page's default of 0.25 is a threshold of 0.25, and 1 reuses nothing.
 */
function blockThreshold(value: number): number {
  return (1 - value) / 3;
}

function bound(
  step: number | undefined,
  percentage: number | undefined,
  steps: number,
  round: (value: number) => number,
): number | undefined {
  return step ?? (percentage === undefined ? undefined : round((steps * percentage) / 100));
}
