/** Step caches and kept references on the embedded model: how much faster, and how like the picture without one. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from '../src/engine/engine.ts';
import { decodeImage } from '../src/engine/image/image-codec.ts';
import type { Bitmap } from '../src/engine/image/pixels.ts';
import { createEngine } from '../src/engine/pipeline/kontext.ts';
import { type EngineEvent, type Plan, plainNumerics, plainPlan } from '../src/engine/plan.ts';
import { ModelStore } from '../src/store/models.ts';
import { cachePlan, referencePlan } from '../src/tasks/plan/step-cache.ts';
import { psnr } from '../test/golden/compare.ts';
import { inDecibels, type Options, type Row, round } from './measure.ts';
import { ssim } from './ssim.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const steps = 28;
const order = ['teaCache', 'fbCache', 'dbCache'];
export const cacheParts = [...order, 'referenceCache'];

type Accelerator = NonNullable<Parameters<typeof cachePlan>[0]>;

/** The schema's defaults of an absent `acceleratorOptions`. */
const defaults: Accelerator = {
  cacheEndStep: undefined,
  cacheEndStepPercentage: undefined,
  cacheMaxConsecutiveSteps: undefined,
  cacheStartStep: undefined,
  cacheStartStepPercentage: undefined,
  fbCache: false,
  fbCacheThreshold: 0.25,
  teaCache: false,
  teaCacheDistance: 0.5,
  dbCache: false,
  dbCacheThreshold: 0.25,
  dbCacheSkipInterval: 5,
  referenceCache: false,
  referenceCacheInterval: 8,
};

type Setting = { cache: string; setting: string; options: Partial<Accelerator> };

/** From careful to bold. */
const stepCaches: Setting[] = [
  ...[0.1, 0.15, 0.2, 0.3, 0.5].map((value) => ({
    cache: 'teaCache',
    setting: `distance ${value}`,
    options: { teaCache: true, teaCacheDistance: value },
  })),
  {
    cache: 'teaCache',
    setting: 'distance 0.5, 20 % to 90 %',
    options: { teaCache: true, cacheStartStepPercentage: 20, cacheEndStepPercentage: 90 },
  },
  ...[0.91, 0.85, 0.76, 0.25].flatMap((value) => [
    {
      cache: 'fbCache',
      setting: `threshold ${value}`,
      options: { fbCache: true, fbCacheThreshold: value },
    },
    {
      cache: 'dbCache',
      setting: `threshold ${value}`,
      options: { dbCache: true, dbCacheThreshold: value },
    },
  ]),
].sort((a, b) => order.indexOf(a.cache) - order.indexOf(b.cache));

const referenceIntervals = [2, 4, 8, steps];

const settings: Setting[] = [
  ...stepCaches,
  ...[undefined, ...stepCaches].flatMap((alone) =>
    referenceIntervals.map((interval) => ({
      cache: alone ? `${alone.cache} and referenceCache` : 'referenceCache',
      setting: [alone?.setting, interval === steps ? 'once' : `every ${interval} steps`]
        .filter(Boolean)
        .join(', '),
      options: { ...alone?.options, referenceCache: true, referenceCacheInterval: interval },
    })),
  ),
];

/** The parts of a plan that are compared. */
type Caching = Pick<Plan, 'cache' | 'referenceInterval'>;

function cachingOf(options: Partial<Accelerator>): Caching {
  const all = { ...defaults, ...options };
  return { cache: cachePlan(all, steps), ...referencePlan(all) };
}

const edits = [
  ['scene-car.png', 'make the background pink'],
  ['scene-car.png', 'turn the red car blue'],
  ['scene-car.png', 'replace the tree with a white house'],
  ['scene-car.png', 'remove the balloon'],
  ['scene-house.png', 'make the house blue'],
  ['scene-house.png', 'make it night'],
  ['scene-house.png', 'remove the kite'],
  ['scene-house.png', 'replace the kite with a red balloon'],
] as const;

/** @param rest the caches to measure, each alone and with kept references; all without any */
export async function caches({ threads, runs, rest }: Options): Promise<Row[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-caches-'));
  const store = await ModelStore.scan({ models: folder, cache: folder });
  const engine = await createEngine({ threads, memoryLimit: 8 * 2 ** 30, log: () => {} });
  const plans = edits.map(([file, prompt]) => makePlan(store.find('retouch:mini@1')!.source, file, prompt));
  // The first picture of a process also pays for memory and kernels, with a cache and without.
  for (const options of [{}, { fbCache: true, referenceCache: true }])
    await measure(engine, { ...plans[0]!, ...cachingOf(options) });
  const chosen = settings.filter(({ cache }) => rest.length === 0 || rest.includes(cache.split(' ')[0]!));
  const all = [{}, ...chosen.map(({ options }) => options)].map(cachingOf);
  const measured = await measureAll(engine, plans, all, runs);
  await engine.release();
  fs.rmSync(folder, { recursive: true });
  const [plain, ...found] = measured as [Measured[], ...Measured[][]];
  return [
    { cache: 'none', setting: '', ...figures(plain, plain), [predicted]: 1 },
    ...chosen.map(({ cache, setting, options }, i) => ({
      cache,
      setting,
      ...figures(found[i]!, plain),
      [predicted]: round(1 / shareOfOperations(found[i]!, options), 2),
    })),
  ];
}

function makePlan(model: Plan['model'], file: string, prompt: string): Plan {
  return {
    ...plainPlan,
    model,
    prompt,
    references: [fs.readFileSync(path.join(root, 'examples', file))],
    width: 1024,
    height: 1024,
    seed: 1n,
    steps,
    guidance: 2.5,
    numerics: plainNumerics,
    output: { format: 'png', quality: 95 },
  };
}

type Measured = {
  milliseconds: number;
  /** Processor time: with one thread it hardly depends on other load on the machine. */
  processor: number;
  reused: number;
  /** Evaluations without the references' rows. */
  references: number;
  picture: Bitmap;
};

/** By cache, the steps of the fastest run of each edit. They take turns, so that a disturbance hits all. */
async function measureAll(
  engine: Engine,
  plans: readonly Plan[],
  caches: readonly Caching[],
  runs: number,
): Promise<Measured[][]> {
  const best: Measured[][] = caches.map(() => []);
  for (let run = 0; run < runs; run++)
    for (const [i, caching] of caches.entries())
      for (const [j, plan] of plans.entries()) {
        const found = await measure(engine, { ...plan, ...caching });
        const known = best[i]![j];
        if (!known || found.processor < known.processor) best[i]![j] = found;
      }
  return best;
}

async function measure(engine: Engine, plan: Plan): Promise<Measured> {
  let [milliseconds, processor, reused, references] = [0, 0, 0, 0];
  let used = process.cpuUsage();
  let image: (EngineEvent & { type: 'image' })['image'] | undefined;
  for await (const event of engine.run(plan, new AbortController().signal)) {
    if (event.type === 'step-end') {
      milliseconds += event.milliseconds;
      const { user, system } = process.cpuUsage(used);
      processor += (user + system) / 1000;
    } else if (event.type === 'cache-end') reused = event.reused;
    else if (event.type === 'references-end') references = event.reused;
    else if (event.type === 'image') image = event.image;
    used = process.cpuUsage();
  }
  return { milliseconds, processor, reused, references, picture: await decodeImage(image!.bytes) };
}

const predicted = 'predicted for FLUX.1';

/** Operations of an evaluation of FLUX.1 without references' rows, at 1024×1024 with one reference. */
const keptShare = 0.53;
/** Share of the blocks that a cache computes before it decides to reuse. */
const heads = { fbCache: 1 / 57, dbCache: 8 / 57 };

/** The operations of FLUX.1's steps with the same evaluations reused and without references, of those without a cache. */
function shareOfOperations(found: readonly Measured[], options: Partial<Accelerator>): number {
  const head = options.fbCache ? heads.fbCache : options.dbCache ? heads.dbCache : 0;
  const shares = found.map(({ reused, references }) => {
    const beforeReuse = head * (options.referenceCache ? keptShare : 1);
    return (steps - reused - references + references * keptShare + reused * beforeReuse) / steps;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Means over the edits. */
function figures(found: readonly Measured[], plain: readonly Measured[]): Row {
  const mean = (value: (measured: Measured, reference: Measured) => number) =>
    found.reduce((sum, measured, i) => sum + value(measured, plain[i]!), 0) / found.length;
  const decibels = mean(({ picture }, reference) => psnr(picture.data, reference.picture.data));
  return {
    'reused of 28': round(
      mean(({ reused }) => reused),
      1,
    ),
    'without references': round(
      mean(({ references }) => references),
      1,
    ),
    'steps s': round(mean(({ milliseconds }) => milliseconds) / 1000, 2),
    'processor s': round(mean(({ processor }) => processor) / 1000, 2),
    'speed-up': round(
      mean(({ processor }, reference) => reference.processor / processor),
      2,
    ),
    'PSNR dB': inDecibels(decibels),
    SSIM: round(
      mean(({ picture }, reference) => ssim(picture, reference.picture)),
      4,
    ),
  };
}
