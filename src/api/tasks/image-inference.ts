/**
 * imageInference: make or edit pictures. The schema is the model page, parameter by parameter
 * (https://runware.ai/docs/models/flux-1-kontext-dev); `supported` marks what the engine cannot do yet.
 */

import { schedulerNames } from '../schedulers.ts';
import type { FloatSchema, Infer, IntegerSchema, ObjectSchema } from '../schema.ts';
import { listedSizes } from '../sizes.ts';
import type { TaskType } from '../task-type.ts';
import { renameLegacy } from './image-inference-legacy.ts';
import { checkTogether, constraintsFor } from './image-inference-rules.ts';

const none = [] as const;

const hundredths = { type: 'float', step: 0.01 } as const satisfies FloatSchema;
const weight = { ...hundredths, min: -4, max: 4, default: 1 } as const;
const unit = { ...hundredths, min: 0, max: 1 } as const;
const count = { type: 'integer', min: 1 } as const satisfies IntegerSchema;
const prompt = { type: 'string', minLength: 2, maxLength: 3000 } as const;

/** How many references this version puts into one sequence. */
const maxReferences = 4;
/** The page has no limit; each adapter and each guide image costs memory. */
const maxAdapters = 32;

const acceleratorOptions = {
  type: 'object',
  properties: {
    cacheEndStep: count,
    cacheEndStepPercentage: { ...count, max: 100 },
    cacheMaxConsecutiveSteps: { ...count, max: 5, implied: 3 },
    cacheStartStep: { ...count, min: 0 },
    cacheStartStepPercentage: { ...count, min: 0, max: 99 },
    fbCache: { type: 'boolean', default: false },
    fbCacheThreshold: { ...unit, default: 0.25 },
    teaCache: { type: 'boolean', default: false },
    teaCacheDistance: { ...unit, default: 0.5 },
    dbCache: { type: 'boolean', default: false },
    dbCacheThreshold: { ...unit, default: 0.25 },
    dbCacheSkipInterval: { ...count, default: 5 },
  },
} as const satisfies ObjectSchema;

const lora = {
  type: 'object',
  properties: {
    model: { type: 'string', required: true, minLength: 1 },
    weight,
    transformer: { type: 'string', allowed: ['high', 'low', 'both'], default: 'both' },
  },
} as const satisfies ObjectSchema;

const ipAdapter = {
  type: 'object',
  properties: {
    model: { type: 'string', required: true, minLength: 1 },
    weight,
    guideImages: {
      type: 'array',
      required: true,
      items: { type: 'string', minLength: 1 },
      minItems: 1,
      maxItems: maxAdapters,
    },
    combineMethod: {
      type: 'string',
      allowed: ['concat', 'add', 'subtract', 'average', 'norm_average'],
      default: 'concat',
    },
    embedScaling: {
      type: 'string',
      allowed: ['only_v', 'kv', 'kv_penalty_c', 'k_mean_v_penalty_c'],
      default: 'kv',
    },
    weightType: {
      type: 'string',
      allowed: [
        'normal',
        'ease_in',
        'ease_out',
        'ease_in_out',
        'weak_input',
        'weak_output',
        'weak_middle',
        'strong_middle',
        'style_transfer',
        'composition',
        'strong_style_transfer',
        'style_and_composition',
        'strong_style_and_composition',
      ],
      default: 'normal',
    },
    weightComposition: unit,
  },
} as const satisfies ObjectSchema;

const ultralytics = {
  type: 'object',
  properties: {
    CFGScale: { type: 'float', min: 0, max: 50, step: 0.1, default: 8 },
    confidence: { ...unit, default: 0.9 },
    maskBlur: { type: 'integer', min: 0, max: 100, default: 5 },
    maskPadding: { type: 'integer', min: 0, max: 20, default: 5 },
    // The page says no length; nobody's text encoder reads more.
    negativePrompt: { type: 'string', maxLength: prompt.maxLength },
    positivePrompt: { type: 'string', maxLength: prompt.maxLength },
    steps: { type: 'integer', min: 1, max: 100, default: 20 },
    strength: { ...unit, default: 0.3 },
  },
} as const satisfies ObjectSchema;

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageInference'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    outputType: { type: 'string', allowed: ['URL', 'base64Data', 'dataURI'], default: 'URL' },
    outputFormat: { type: 'string', allowed: ['JPG', 'PNG', 'WEBP'], default: 'JPG' },
    outputQuality: { type: 'integer', min: 20, max: 99, default: 95 },
    webhookURL: { type: 'string', format: 'uri' },
    deliveryMethod: { type: 'string', allowed: ['sync', 'async'], default: 'sync' },
    uploadEndpoint: { type: 'string', format: 'uri' },
    safety: {
      type: 'object',
      properties: {
        checkContent: { type: 'boolean', default: false },
        mode: { type: 'string', allowed: ['none', 'fast'], implied: 'none' },
      },
    },
    ttl: { type: 'integer', min: 60 },
    includeCost: { type: 'boolean', default: false },
    numberResults: { type: 'integer', min: 1, max: 20, default: 1 },
    acceleratorOptions,
    inputs: {
      type: 'object',
      properties: {
        referenceImages: { type: 'array', items: { type: 'string', minLength: 1 }, maxItems: maxReferences },
        // Not on the page; old clients send them at the top level.
        seedImage: { type: 'string', minLength: 1, supported: none },
        maskImage: { type: 'string', minLength: 1, supported: none },
      },
    },
    model: { type: 'string', required: true, minLength: 1 },
    // The page leaves it open; both published schemas of the model require it. `__BLANK__` is no prompt.
    positivePrompt: { ...prompt, required: true },
    negativePrompt: prompt,
    width: { type: 'integer' },
    height: { type: 'integer' },
    // The page's maximum is 2^63 − 1 as JavaScript prints it; taken to the letter, and 2^63 − 1 is inside.
    seed: { type: 'long', min: 0n, max: 9223372036854776000n },
    steps: { type: 'integer', min: 1, max: 50 },
    scheduler: { type: 'string', allowed: schedulerNames, default: 'Default' },
    CFGScale: { ...hundredths, min: 0, max: 20 },
    lora: { type: 'array', items: lora, maxItems: maxAdapters },
    ipAdapters: { type: 'array', items: ipAdapter, maxItems: maxAdapters },
    trueCFGScale: { type: 'float' },
    ultralytics,
  },
} as const satisfies ObjectSchema;

export type ImageInferenceTask = Infer<typeof schema>;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageInference'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    imageUUID: { type: 'string', required: true, format: 'uuid' },
    imageURL: { type: 'string', format: 'uri' },
    imageBase64Data: { type: 'string' },
    imageDataURI: { type: 'string' },
    seed: { ...schema.properties.seed, required: true },
    NSFWContent: { type: 'boolean' },
    cost: { type: 'float', min: 0 },
    uploadError: {
      type: 'object',
      properties: {
        code: { type: 'string', required: true },
        message: { type: 'string', required: true },
      },
    },
  },
} as const satisfies ObjectSchema;

const examples = [
  {
    taskType: 'imageInference',
    taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
    model: 'retouch:mini@1',
    positivePrompt: 'turn the red car blue',
    inputs: { referenceImages: ['https://example.com/scene-car.png'] },
  },
  {
    taskType: 'imageInference',
    taskUUID: '9f3c1f4e-2f55-4d0b-8d0a-6c2f0b1d7e61',
    model: 'runware:106@1',
    positivePrompt: 'a lighthouse on a cliff, in watercolours',
    width: 1248,
    height: 832,
    steps: 28,
    CFGScale: 2.5,
    seed: 42,
    numberResults: 4,
    outputType: 'dataURI',
    outputFormat: 'PNG',
  },
  {
    taskType: 'imageInference',
    taskUUID: '0c3cf644-3f55-4d0b-9d0a-6c2f0b1d7e61',
    model: 'runware:106@1',
    positivePrompt: 'the same woman on a beach at dusk',
    negativePrompt: 'blurred',
    inputs: { referenceImages: ['0d9e3d5c-7a57-4b6f-8e57-2f6d1c0b9a11'] },
    trueCFGScale: 2,
    scheduler: 'DPM++ 2M Karras',
    acceleratorOptions: { teaCache: true, teaCacheDistance: 0.3, cacheStartStepPercentage: 10 },
    lora: [{ model: 'civitai:1234@5678', weight: 0.8 }],
    ipAdapters: [
      {
        model: 'runware:55@2',
        guideImages: ['https://example.com/style.png'],
        weight: 0.5,
        weightType: 'ease_in',
      },
    ],
    ultralytics: { confidence: 0.8, strength: 0.4 },
    safety: { checkContent: true },
  },
];

export const imageInference = {
  about: 'Makes a picture from a sentence, or edits reference pictures as the sentence says.',
  schema,
  result,
  examples,
  constraints: constraintsFor(listedSizes),
  documentation: 'https://runware.ai/docs/models/flux-1-kontext-dev',
  rename: renameLegacy,
  checkTogether,
} as const satisfies TaskType<ImageInferenceTask>;
