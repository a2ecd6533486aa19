/** The Plan in a picture's metadata → the request that makes the picture again. */

import type { Values } from '../request/request.ts';
import { nameScheduler } from '../request/schedulers.ts';
import type { PlanRecord } from './metadata.ts';

export type Restored = {
  model: string;
  prompt: string;
  /** SHA-256 of each picture, in order. */
  references: string[];
  /** A mask was used; the metadata does not have it. */
  isMasked: boolean;
  values: Values;
};

type Cache = { name: string; threshold: number; from: number; to: number; maxConsecutive: number };
type Adapter = { air: string; guides: string[] } & Record<string, unknown>;
type Faces = { prompt: string; negativePrompt: string; guidance: number } & Record<string, unknown>;

export function restore(record: PlanRecord): Restored {
  const plan = record as {
    model: string;
    prompt: string;
    negativePrompt: string;
    references: string[];
    width: number;
    height: number;
    seed: string;
    steps: number;
    guidance: number;
    trueCfg: number;
    sampler: string;
    sigmas: string;
    cache?: Cache;
    referenceInterval?: number;
    loras: { air: string; weight: number; stage: string }[];
    ipAdapters: Adapter[];
    faces?: Faces;
    safety?: object;
    mask?: string;
    output: { format: string; quality: number };
  };
  const { output, faces, safety, cache } = plan;
  return {
    model: plan.model,
    prompt: plan.prompt,
    references: plan.references.map(hashOf),
    isMasked: plan.mask !== undefined,
    values: {
      ...(plan.negativePrompt === '' ? {} : { negativePrompt: plan.negativePrompt }),
      width: plan.width,
      height: plan.height,
      seed: plan.seed,
      steps: plan.steps,
      CFGScale: plan.guidance,
      ...(plan.trueCfg === 1 ? {} : { trueCFGScale: plan.trueCfg }),
      scheduler: nameScheduler(plan) ?? 'Default',
      outputFormat: output.format.toUpperCase(),
      outputQuality: output.quality,
      ...(cache ? cacheValues(cache, plan.steps) : {}),
      ...referenceValues(plan.referenceInterval),
      ...(safety ? { 'safety.checkContent': true } : {}),
      ...(faces ? faceValues(faces, plan) : {}),
      ...(plan.loras.length === 0 ? {} : { lora: plan.loras.map(loraValues) }),
      ...(plan.ipAdapters.length === 0 ? {} : { ipAdapters: plan.ipAdapters.map(adapterValues) }),
    },
  };
}

function hashOf(reference: string): string {
  return reference.replace(/^sha256:/, '');
}

function referenceValues(interval: number | undefined): Values {
  if (interval === undefined) return {};
  return {
    'acceleratorOptions.referenceCache': true,
    'acceleratorOptions.referenceCacheInterval': interval,
  };
}

/** Inverse of the server's cache settings: docs/guide/step-caches.md has the formulas. */
function cacheValues({ name, threshold, from, to, maxConsecutive }: Cache, steps: number): Values {
  const put = (fields: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(fields).map(([key, value]) => [`acceleratorOptions.${key}`, value]));
  const window = {
    ...(from > 0 ? { cacheStartStep: from } : {}),
    ...(to < steps ? { cacheEndStep: to } : {}),
  };
  const limit = { cacheMaxConsecutiveSteps: maxConsecutive };
  if (name === 'tea')
    return put({ teaCache: true, teaCacheDistance: hundredths(threshold / 0.44), ...limit, ...window });
  const value = hundredths(1 - 3 * threshold);
  if (name === 'first-block') return put({ fbCache: true, fbCacheThreshold: value, ...limit, ...window });
  // Without a start the server would take its default warm-up.
  const start = { cacheStartStep: from };
  return put({
    dbCache: true,
    dbCacheThreshold: value,
    dbCacheSkipInterval: maxConsecutive,
    ...start,
    ...window,
  });
}

function faceValues(faces: Faces, plan: { prompt: string; negativePrompt: string }): Values {
  const { prompt, negativePrompt, guidance } = faces;
  const names = ['confidence', 'maskBlur', 'maskPadding', 'steps', 'strength'];
  return {
    ultralytics: true,
    ...Object.fromEntries(names.map((name) => [`ultralytics.${name}`, faces[name]])),
    'ultralytics.CFGScale': guidance,
    ...(prompt === plan.prompt ? {} : { 'ultralytics.positivePrompt': prompt }),
    ...(negativePrompt === plan.negativePrompt ? {} : { 'ultralytics.negativePrompt': negativePrompt }),
  };
}

function loraValues({ air, weight, stage }: { air: string; weight: number; stage: string }): Values {
  return { model: air, weight, transformer: stage };
}

function adapterValues({ air, guides, weight, weightType, weightComposition, ...rest }: Adapter): Values {
  const { combineMethod, embedScaling } = rest;
  return {
    model: air,
    weight,
    guideImages: guides.map(hashOf),
    combineMethod,
    embedScaling,
    weightType,
    ...(weightComposition === 1 ? {} : { weightComposition }),
  };
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100;
}
