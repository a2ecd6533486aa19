import { describe, expect, it } from 'vitest';
import { parseTasks } from '../../src/api/parse.ts';
import type { ImageInferenceTask } from '../../src/api/tasks/image-inference.ts';
import { cachePlan, referencePlan } from '../../src/tasks/plan/step-cache.ts';

/** Through the wire, so that its defaults are in. */
function optionsOf(acceleratorOptions: Record<string, unknown>) {
  const task = {
    taskType: 'imageInference',
    taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
    model: 'retouch:mini@1',
    positivePrompt: 'make the sky pink',
    acceleratorOptions,
  };
  const body = new TextEncoder().encode(JSON.stringify([task]));
  const [parsed] = parseTasks(body, { maxTasks: 1, explainMissingModel: () => undefined });
  if (!parsed || !('task' in parsed)) throw new Error(JSON.stringify(parsed));
  return (parsed.task as ImageInferenceTask).acceleratorOptions;
}

function planOf(acceleratorOptions: Record<string, unknown>, steps = 28) {
  return cachePlan(optionsOf(acceleratorOptions), steps);
}

it('references are computed in every eighth step by default, and in every one at 1 or without referenceCache', () => {
  const planned = (options: Record<string, unknown>) => referencePlan(optionsOf(options));
  expect(planned({ referenceCache: true })).toEqual({ referenceInterval: 8 });
  expect(planned({ referenceCache: true, referenceCacheInterval: 3, teaCache: true })).toEqual({
    referenceInterval: 3,
  });
  for (const options of [
    {},
    { referenceCacheInterval: 3 },
    { referenceCache: true, referenceCacheInterval: 1 },
  ])
    expect(planned(options)).toEqual({});
  expect(() => planned({ referenceCache: true, referenceCacheInterval: 51 })).toThrow(
    /referenceCacheInterval/,
  );
});

it('without a cache that is on every step is computed', () => {
  expect(cachePlan(undefined, 28)).toBeUndefined();
  expect(planOf({})).toBeUndefined();
  expect(planOf({ teaCache: false, teaCacheDistance: 0.9, cacheStartStep: 2 })).toBeUndefined();
});

describe('the defaults of the page', () => {
  it.each([
    ['teaCache', { name: 'tea', threshold: 0.22, from: 0, to: 28, maxConsecutive: 3 }],
    ['fbCache', { name: 'first-block', threshold: 0.25, from: 0, to: 28, maxConsecutive: 3 }],
    ['dbCache', { name: 'dual-block', threshold: 0.25, from: 4, to: 28, maxConsecutive: 5 }],
  ])('%s', (name, plan) => {
    expect(planOf({ [name]: true })).toEqual(plan);
  });
});

it('teaCacheDistance goes from none to twice the recommended reuse', () => {
  const thresholds = [0, 0.25, 0.5, 1].map(
    (teaCacheDistance) => planOf({ teaCache: true, teaCacheDistance })?.threshold,
  );
  expect(thresholds).toEqual([0, 0.11, 0.22, 0.44]);
});

it.each(['fb', 'db'])('%sCacheThreshold reuses more the lower it is, and at 1 nothing', (cache) => {
  const thresholds = [0, 0.25, 0.76, 1].map(
    (value) => planOf({ [`${cache}Cache`]: true, [`${cache}CacheThreshold`]: value })?.threshold,
  );
  expect(thresholds.map((value) => Number(value?.toFixed(12)))).toEqual([0.333333333333, 0.25, 0.08, 0]);
});

it('a window is in steps or in percent of them, the start rounded down and the end up', () => {
  const window = (options: Record<string, number>) => {
    const plan = planOf({ fbCache: true, ...options }, 30);
    return [plan?.from, plan?.to];
  };
  expect(window({ cacheStartStep: 3, cacheEndStep: 20 })).toEqual([3, 20]);
  expect(window({ cacheStartStepPercentage: 25, cacheEndStepPercentage: 85 })).toEqual([7, 26]);
  expect(window({ cacheStartStep: 3, cacheEndStepPercentage: 100 })).toEqual([3, 30]);
  expect(window({ cacheEndStep: 12 })).toEqual([0, 12]);
});

it('cacheMaxConsecutiveSteps limits every cache, and dbCache by its own interval besides', () => {
  const limit = (options: Record<string, unknown>) => planOf(options)?.maxConsecutive;
  expect(limit({ teaCache: true, cacheMaxConsecutiveSteps: 1 })).toBe(1);
  expect(limit({ fbCache: true, cacheMaxConsecutiveSteps: 5 })).toBe(5);
  expect(limit({ dbCache: true, dbCacheSkipInterval: 9 })).toBe(9);
  expect(limit({ dbCache: true, dbCacheSkipInterval: 9, cacheMaxConsecutiveSteps: 3 })).toBe(3);
  expect(limit({ dbCache: true, dbCacheSkipInterval: 1, cacheMaxConsecutiveSteps: 3 })).toBe(1);
});

it('dbCache warms up for four steps unless a start is given, and leaves a step of a short window', () => {
  const from = (options: Record<string, number>, steps?: number) =>
    planOf({ dbCache: true, ...options }, steps)?.from;
  expect(from({})).toBe(4);
  expect(from({ cacheStartStep: 0 })).toBe(0);
  expect(from({ cacheStartStepPercentage: 50 })).toBe(14);
  expect(from({ cacheEndStep: 3 })).toBe(2);
});
