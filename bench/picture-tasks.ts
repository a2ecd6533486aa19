/** The fixed list of tasks whose pixels bench/pictures.ts compares. */

import { readFileSync } from 'node:fs';
import { schedulerNames } from '../src/api/schedulers.ts';

export type PictureTask = {
  name: string;
  /** `RETOUCH_PRECISION` of the server that runs it. */
  precision: string;
  /** Members of an imageInference task. */
  task: Record<string, unknown>;
};

const scene = 'turn the red car blue';
const car = picture('examples/scene-car.png');
const house = picture('examples/scene-house.png');
const night = picture('examples/scene-house-night.jpg');
const astronaut = picture('test/data/photos/astronaut.jpg');
const edited = { inputs: { referenceImages: [car] } };
const long = { ...edited, steps: 8 };
const wide = { ...edited, width: 1392, height: 752 };
const mood = (options: object = {}) => ({
  ...edited,
  ipAdapters: [{ model: 'retouch:mood@1', guideImages: [night], ...options }],
});
const neon = (options: object = {}) => ({ ...edited, lora: [{ model: 'retouch:neon@1', ...options }] });
const faces = { inputs: { referenceImages: [astronaut] }, steps: 8 };
const cache = (acceleratorOptions: object) => ({ ...long, acceleratorOptions });

/** Members beside taskType, taskUUID, model, seed, outputType. */
const tasks: Record<string, Record<string, unknown>> = {
  ...Object.fromEntries(schedulerNames.map((scheduler) => [`scheduler ${scheduler}`, { scheduler }])),
  edit: edited,
  'edit without a size': { ...edited, width: undefined, height: undefined },
  'edit 1392x752': wide,
  'edit with two references': { inputs: { referenceImages: [car, house] } },
  'edit of a large photo': { inputs: { referenceImages: [astronaut] } },
  'four results': { ...edited, numberResults: 4 },
  JPG: { ...edited, outputFormat: 'JPG', outputQuality: 80 },
  WEBP: { ...edited, outputFormat: 'WEBP', outputQuality: 80 },
  'guidance 1': { ...edited, CFGScale: 1 },
  'true CFG': { ...edited, negativePrompt: 'snow', trueCFGScale: 3 },
  'LoRA neon': neon(),
  'LoRA neon, weight 0.5': neon({ weight: 0.5 }),
  'LoRA neon, high noise': neon({ transformer: 'high' }),
  'LoRA neon, low noise': neon({ transformer: 'low' }),
  'LoRA neon and true CFG': { ...neon(), negativePrompt: 'snow', trueCFGScale: 3 },
  'IP-Adapter mood': mood(),
  'IP-Adapter mood, two guides averaged': mood({ guideImages: [night, house], combineMethod: 'average' }),
  'IP-Adapter mood, two guides, only values': mood({ guideImages: [night, house], embedScaling: 'only_v' }),
  'IP-Adapter mood, ease in': mood({ weight: 0.5, weightType: 'ease_in' }),
  'IP-Adapter mood and LoRA neon': { ...mood(), ...neon() },
  fbCache: cache({ fbCache: true }),
  'fbCache, threshold 0': cache({ fbCache: true, fbCacheThreshold: 0 }),
  teaCache: cache({ teaCache: true }),
  'teaCache, window 2 to 6': cache({
    teaCache: true,
    teaCacheDistance: 1,
    cacheStartStep: 2,
    cacheEndStep: 6,
  }),
  dbCache: cache({ dbCache: true, dbCacheThreshold: 0, dbCacheSkipInterval: 2 }),
  'dbCache, true CFG and LoRA neon': {
    ...cache({ dbCache: true, dbCacheThreshold: 0 }),
    ...neon(),
    negativePrompt: 'snow',
    trueCFGScale: 3,
  },
  'no faces': faces,
  faces: { ...faces, ultralytics: { confidence: 0.1, strength: 0.5, steps: 4 } },
  'content check': { ...edited, safety: { checkContent: true } },
};

const everyPrecision = [
  'edit',
  'edit 1392x752',
  'scheduler Default',
  'LoRA neon',
  'IP-Adapter mood',
  'dbCache',
];

export const pictureTasks: readonly PictureTask[] = [
  ...Object.keys(tasks).map((name) => entry(name, 'auto')),
  ...['f32', 'int8', 'int8-blocks', 'int4'].flatMap((precision) =>
    everyPrecision.map((name) => entry(name, precision)),
  ),
];

function entry(name: string, precision: string): PictureTask {
  const task = {
    taskType: 'imageInference',
    model: 'retouch:mini@1',
    positivePrompt: scene,
    seed: 7,
    steps: 3,
    width: 1024,
    height: 1024,
    outputType: 'base64Data',
    outputFormat: 'PNG',
    ...tasks[name],
  };
  return { name: precision === 'auto' ? name : `${name}, ${precision}`, precision, task };
}

function picture(path: string): string {
  const type = path.endsWith('png') ? 'png' : 'jpeg';
  const bytes = readFileSync(new URL(`../${path}`, import.meta.url));
  return `data:image/${type};base64,${bytes.toString('base64')}`;
}
