/**
 * imageInference: make or edit pictures. The schema is the model page, parameter by parameter
 * (https://runware.ai/docs/models/flux-1-kontext-dev); `supported` marks what the engine cannot do yet.
 */

import { schedulerNames } from '../schedulers.ts';
import type { FloatSchema, Infer, IntegerSchema, ObjectSchema } from '../schema.ts';
import { listedSizes } from '../sizes.ts';
import type { TaskType } from '../task-type.ts';
import { examples } from './image-inference-examples.ts';
import { renameLegacy } from './image-inference-legacy.ts';
import { checkTogether, constraintsFor } from './image-inference-rules.ts';

const none = [] as const;

const hundredths = { type: 'float', step: 0.01 } as const satisfies FloatSchema;
const weight = {
  about: '0 has no effect; a negative weight steers away.',
  ...hundredths,
  min: -4,
  max: 4,
  default: 1,
} as const;
const unit = { ...hundredths, min: 0, max: 1 } as const;
const count = { type: 'integer', min: 1 } as const satisfies IntegerSchema;
const prompt = { type: 'string', minLength: 2, maxLength: 3000 } as const;

/** The maximum number of references in one sequence. */
const maxReferences = 4;
/** The page has no limit; each adapter and each guide image costs memory. */
const maxAdapters = 32;

const acceleratorOptions = {
  about:
    'Caches: reuse work of earlier steps while it changes little. One of fbCache, teaCache and dbCache at a time.',
  type: 'object',
  properties: {
    cacheEndStep: { about: 'The step at which reuse ends.', ...count },
    cacheEndStepPercentage: { about: 'The same, in percent of the steps.', ...count, max: 100 },
    cacheMaxConsecutiveSteps: {
      about: 'Most consecutive steps with reuse; the next one is computed.',
      ...count,
      max: 5,
      implied: 3,
    },
    cacheStartStep: { about: 'The step from which on reuse is allowed.', ...count, min: 0 },
    cacheStartStepPercentage: { about: 'The same, in percent of the steps.', ...count, min: 0, max: 99 },
    fbCache: {
      about: 'First-block cache: compares the residual of the first block between steps.',
      type: 'boolean',
      default: false,
    },
    fbCacheThreshold: { about: 'Lower reuses more.', ...unit, default: 0.25 },
    teaCache: {
      about: 'TeaCache: estimates the change from the modulated input, before any block runs.',
      type: 'boolean',
      default: false,
    },
    teaCacheDistance: { about: 'Higher reuses more.', ...unit, default: 0.5 },
    dbCache: {
      about: 'Dual-block cache: computes the first blocks and reuses the rest.',
      type: 'boolean',
      default: false,
    },
    dbCacheThreshold: { about: 'Lower reuses more.', ...unit, default: 0.25 },
    // Beyond the page.
    referenceCache: {
      about:
        'Reference cache, an extension of Retouch: keys and values of reference tokens are kept from step to step. It goes together with one of the other caches.',
      type: 'boolean',
      default: false,
      unlisted: true,
    },
    referenceCacheInterval: {
      about: 'Steps from one computation of the references to the next; 1 computes them in every step.',
      unlisted: true,
      ...count,
      max: 50,
      default: 8,
    },
    dbCacheSkipInterval: { about: 'At most so many steps in a row reuse.', ...count, default: 5 },
  },
} as const satisfies ObjectSchema;

const lora = {
  type: 'object',
  properties: {
    model: { about: 'The AIR of an installed LoRA.', type: 'string', required: true, minLength: 1 },
    weight,
    transformer: {
      about: 'The noise levels at which it acts: high noise decides the layout, low noise the details.',
      type: 'string',
      allowed: ['high', 'low', 'both'],
      default: 'both',
    },
  },
} as const satisfies ObjectSchema;

const ipAdapter = {
  type: 'object',
  properties: {
    model: { about: 'The AIR of an installed IP-Adapter.', type: 'string', required: true, minLength: 1 },
    weight,
    guideImages: {
      about: 'Guide pictures: a UUID, a URL, a data URI or base64.',
      type: 'array',
      required: true,
      items: { type: 'string', minLength: 1 },
      minItems: 1,
      maxItems: maxAdapters,
    },
    combineMethod: {
      about: 'Combination of several guide pictures.',
      type: 'string',
      allowed: ['concat', 'add', 'subtract', 'average', 'norm_average'],
      default: 'concat',
    },
    embedScaling: {
      about: 'The parts of the attention that the weight scales: keys, values or both.',
      type: 'string',
      allowed: ['only_v', 'kv', 'kv_penalty_c', 'k_mean_v_penalty_c'],
      default: 'kv',
    },
    weightType: {
      about: 'Distribution of the weight over the blocks.',
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
    weightComposition: { about: 'The weight of the layout, for weight types that treat it apart.', ...unit },
  },
} as const satisfies ObjectSchema;

const ultralytics = {
  about: 'Detects faces in the finished picture and paints each again at a higher resolution.',
  type: 'object',
  properties: {
    CFGScale: {
      about: 'Guidance of the prompt for the faces.',
      type: 'float',
      min: 0,
      max: 50,
      step: 0.1,
      default: 8,
    },
    confidence: { about: 'A face counts from this score on.', ...unit, default: 0.9 },
    maskBlur: {
      about: "Blur of the mask's edge in pixels.",
      type: 'integer',
      min: 0,
      max: 100,
      default: 5,
    },
    maskPadding: {
      about: "Pixels added on each side of a face's box.",
      type: 'integer',
      min: 0,
      max: 20,
      default: 5,
    },
    // The page gives no maximum length; no text encoder reads more.
    negativePrompt: {
      about: "Negative prompt of the faces; the picture's by default.",
      type: 'string',
      maxLength: prompt.maxLength,
    },
    positivePrompt: {
      about: "Prompt of the faces; the picture's by default.",
      type: 'string',
      maxLength: prompt.maxLength,
    },
    steps: { about: 'Denoising steps of each face.', type: 'integer', min: 1, max: 100, default: 20 },
    strength: {
      about: 'Share of the schedule that a face is painted with; 0 leaves it unchanged.',
      ...unit,
      default: 0.3,
    },
  },
} as const satisfies ObjectSchema;

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageInference'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    outputType: {
      about: 'Form of the result: a URL, or the picture inside the answer.',
      type: 'string',
      allowed: ['URL', 'base64Data', 'dataURI'],
      default: 'URL',
    },
    outputFormat: {
      about: 'JPG is smallest, PNG is lossless, WEBP is between.',
      type: 'string',
      allowed: ['JPG', 'PNG', 'WEBP'],
      default: 'JPG',
    },
    outputQuality: {
      about: 'Quality of JPG and WEBP; higher means larger files with fewer artifacts.',
      type: 'integer',
      min: 20,
      max: 99,
      default: 95,
    },
    webhookURL: {
      about: 'URL to which the result of each image is sent with POST.',
      type: 'string',
      format: 'uri',
    },
    deliveryMethod: {
      about: '`sync` answers with the images; `async` answers at once, and the client polls for the images.',
      type: 'string',
      allowed: ['sync', 'async'],
      default: 'sync',
    },
    uploadEndpoint: {
      about: 'Presigned URL to which each finished picture is sent with PUT.',
      type: 'string',
      format: 'uri',
    },
    safety: {
      about: 'Classifies the finished picture and flags it; changes no pixel.',
      type: 'object',
      properties: {
        checkContent: {
          about: 'Checks the picture, like the mode `fast`.',
          type: 'boolean',
          default: false,
        },
        mode: {
          about: '`fast` checks each picture once. Takes precedence over checkContent.',
          type: 'string',
          allowed: ['none', 'fast'],
          implied: 'none',
        },
      },
    },
    ttl: {
      about: "Seconds until a picture's URL expires; without it a picture is kept while it is used.",
      type: 'integer',
      min: 60,
    },
    includeCost: { about: 'Says what each image cost.', type: 'boolean', default: false },
    numberResults: {
      about: 'Number of images; image k has the seed + k.',
      type: 'integer',
      min: 1,
      max: 20,
      default: 1,
    },
    acceleratorOptions,
    inputs: {
      about: 'Input pictures.',
      type: 'object',
      // The page lists the parameters inside alone.
      unlisted: true,
      properties: {
        referenceImages: {
          about: 'Pictures to edit, in order: a UUID, a URL, a data URI or base64.',
          type: 'array',
          items: { type: 'string', minLength: 1 },
          maxItems: maxReferences,
        },
        // Not on the page; the platform's inpainting has both, and old clients send them at the top level.
        seedImage: { type: 'string', minLength: 1, supported: none, unlisted: true },
        maskImage: {
          about: 'Mask of the first picture: white areas are edited, black areas stay.',
          unlisted: true,
          type: 'string',
          minLength: 1,
        },
      },
    },
    model: { about: 'The AIR of an installed model.', type: 'string', required: true, minLength: 1 },
    // The page leaves it open; both published schemas of the model require it. `__BLANK__` is no prompt.
    positivePrompt: {
      about: 'The edit, or the picture to draw without references. `__BLANK__` is no prompt.',
      ...prompt,
      required: true,
    },
    negativePrompt: {
      about: 'What to avoid. Read while CFGScale is above 1; acts through trueCFGScale.',
      ...prompt,
    },
    width: {
      about:
        'In pixels, together with height. Without both: the listed size nearest to the first reference in shape.',
      type: 'integer',
    },
    height: { about: 'In pixels, together with width.', type: 'integer' },
    // The page's maximum is 2^63 − 1 as JavaScript prints it. This is the printed number, which includes 2^63 − 1.
    seed: {
      about:
        'Seed of the noise: the same request with the same seed gives the same bytes. Random by default.',
      type: 'long',
      min: 0n,
      max: 9223372036854776000n,
    },
    steps: {
      about: "Denoising steps; more take longer and add detail. The default is the model's.",
      type: 'integer',
      min: 1,
      max: 50,
    },
    scheduler: {
      about: 'The sampler and the spacing of its noise levels.',
      type: 'string',
      allowed: schedulerNames,
      default: 'Default',
    },
    CFGScale: {
      about: 'Guidance of the prompt, which the distilled model takes as an input at no cost.',
      ...hundredths,
      min: 0,
      max: 20,
    },
    lora: {
      about: 'Low-rank adapters, each with its weight; they act together.',
      type: 'array',
      items: lora,
      maxItems: maxAdapters,
    },
    ipAdapters: {
      about: 'IP-Adapters: guide pictures influence style or content.',
      type: 'array',
      items: ipAdapter,
      maxItems: maxAdapters,
    },
    trueCFGScale: {
      about:
        'Above 1, every step runs a second time on the negative prompt and moves away from it: twice the time.',
      type: 'float',
    },
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

export const imageInference = {
  about: 'Makes a picture from a sentence, or edits reference pictures according to the sentence.',
  schema,
  result,
  examples,
  constraints: constraintsFor(listedSizes),
  documentation: 'https://runware.ai/docs/models/flux-1-kontext-dev',
  rename: renameLegacy,
  checkTogether,
} as const satisfies TaskType<ImageInferenceTask>;
