/** acceleratorOptions → a step cache with nothing left open. What the parameters mean is in docs/guide/step-caches.md. */
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { CachePlan } from '../../engine/plan.ts';

type Options = NonNullable<ImageInferenceTask['acceleratorOptions']>;

/**
 * TeaCache's threshold at distance 1. The default distance of a half is 0.22, which its authors recommend for Kontext.
 */
const farthestTea = 0.44;

/** cache-dit's warm-up for short runs: the first steps draw the layout and repay being computed. */
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
    // Its own interval is the limit, so that the default of 5 can be reached; the common one counts when it was given.
    maxConsecutive: Math.min(interval, limit ?? interval),
  };
}

/**
 * Both block caches reuse when the change is below a threshold, and the page turns the sense round: lower values reuse
 * more. This way its default, 0.25, is 0.25, and at 1 nothing is reused.
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
