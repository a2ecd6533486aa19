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
  about: '0 has no influence; negative steers away.',
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
  about: 'Step caches: steps that change little reuse earlier work. One at a time.',
  type: 'object',
  properties: {
    cacheEndStep: { about: 'The step at which reuse ends.', ...count },
    cacheEndStepPercentage: { about: 'The same, in percent of the steps.', ...count, max: 100 },
    cacheMaxConsecutiveSteps: {
      about: 'After so many steps with reuse in a row the next is computed.',
      ...count,
      max: 5,
      implied: 3,
    },
    cacheStartStep: { about: 'The step from which on reuse is allowed.', ...count, min: 0 },
    cacheStartStepPercentage: { about: 'The same, in percent of the steps.', ...count, min: 0, max: 99 },
    fbCache: {
      about: 'First-block cache: looks at what the first block changed.',
      type: 'boolean',
      default: false,
    },
    fbCacheThreshold: { about: 'Lower reuses more.', ...unit, default: 0.25 },
    teaCache: {
      about: 'TeaCache: reckons the change from the time step, before any block runs.',
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
    dbCacheSkipInterval: { about: 'At most so many steps in a row reuse.', ...count, default: 5 },
  },
} as const satisfies ObjectSchema;

const lora = {
  type: 'object',
  properties: {
    model: { about: 'The AIR of an installed LoRA.', type: 'string', required: true, minLength: 1 },
    weight,
    transformer: {
      about: 'The part of the schedule it acts in: high noise draws the layout, low noise the details.',
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
      about: 'Pictures that guide: a UUID, a URL, a data URI or base64.',
      type: 'array',
      required: true,
      items: { type: 'string', minLength: 1 },
      minItems: 1,
      maxItems: maxAdapters,
    },
    combineMethod: {
      about: 'How several guide pictures become one.',
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
      about: 'How the weight is spread over the blocks.',
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
  about: 'Finds faces in the finished picture and paints each again at a higher resolution.',
  type: 'object',
  properties: {
    CFGScale: {
      about: 'How strongly the prompt guides the faces.',
      type: 'float',
      min: 0,
      max: 50,
      step: 0.1,
      default: 8,
    },
    confidence: { about: 'A face counts from this score on.', ...unit, default: 0.9 },
    maskBlur: {
      about: 'Pixels over which a face fades into the picture.',
      type: 'integer',
      min: 0,
      max: 100,
      default: 5,
    },
    maskPadding: {
      about: 'Pixels by which the box around a face grows.',
      type: 'integer',
      min: 0,
      max: 20,
      default: 5,
    },
    // The page gives no maximum length; no text encoder reads more.
    negativePrompt: {
      about: "Of the faces; the picture's without it.",
      type: 'string',
      maxLength: prompt.maxLength,
    },
    positivePrompt: {
      about: "Of the faces; the picture's without it.",
      type: 'string',
      maxLength: prompt.maxLength,
    },
    steps: { about: 'Denoising steps of each face.', type: 'integer', min: 1, max: 100, default: 20 },
    strength: { about: 'How much of a face is painted again; 0 leaves it.', ...unit, default: 0.3 },
  },
} as const satisfies ObjectSchema;

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageInference'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    outputType: {
      about: 'How a picture comes back: as an address, or inside the answer.',
      type: 'string',
      allowed: ['URL', 'base64Data', 'dataURI'],
      default: 'URL',
    },
    outputFormat: {
      about: 'JPG is smallest, PNG loses nothing, WEBP is between.',
      type: 'string',
      allowed: ['JPG', 'PNG', 'WEBP'],
      default: 'JPG',
    },
    outputQuality: {
      about: 'Of JPG and WEBP; higher is larger and closer to the picture.',
      type: 'integer',
      min: 20,
      max: 99,
      default: 95,
    },
    webhookURL: {
      about: 'Where each image is posted as JSON when it is there.',
      type: 'string',
      format: 'uri',
    },
    deliveryMethod: {
      about: '`sync` answers with the images; `async` answers at once, and the images are polled for.',
      type: 'string',
      allowed: ['sync', 'async'],
      default: 'sync',
    },
    uploadEndpoint: {
      about: 'A presigned address to which each finished picture is sent with PUT.',
      type: 'string',
      format: 'uri',
    },
    safety: {
      about: 'Looks at the finished picture and flags it; changes no pixel.',
      type: 'object',
      properties: {
        checkContent: {
          about: 'Looks at the picture; means the mode `fast`.',
          type: 'boolean',
          default: false,
        },
        mode: {
          about: '`fast` looks once. Wins over checkContent.',
          type: 'string',
          allowed: ['none', 'fast'],
          implied: 'none',
        },
      },
    },
    ttl: {
      about: "Seconds after which a picture's URL ends; without it a picture is kept while it is used.",
      type: 'integer',
      min: 60,
    },
    includeCost: { about: 'Says what each image cost.', type: 'boolean', default: false },
    numberResults: {
      about: 'Images to make; image k has the seed + k.',
      type: 'integer',
      min: 1,
      max: 20,
      default: 1,
    },
    acceleratorOptions,
    inputs: {
      about: 'Pictures that the task works on.',
      type: 'object',
      properties: {
        referenceImages: {
          about: 'Pictures to edit, in order: a UUID, a URL, a data URI or base64.',
          type: 'array',
          items: { type: 'string', minLength: 1 },
          maxItems: maxReferences,
        },
        // Not on the page; the platform's inpainting has both, and old clients send them at the top level.
        seedImage: { type: 'string', minLength: 1, supported: none },
        maskImage: {
          about: 'Where the first picture is edited: white is, black stays as it was.',
          type: 'string',
          minLength: 1,
        },
      },
    },
    model: { about: 'The AIR of an installed model.', type: 'string', required: true, minLength: 1 },
    // The page leaves it open; both published schemas of the model require it. `__BLANK__` is no prompt.
    positivePrompt: {
      about: 'What to change, or what to draw when there is no reference. `__BLANK__` is no prompt.',
      ...prompt,
      required: true,
    },
    negativePrompt: {
      about: 'What to keep out. Read while CFGScale is above 1; acts through trueCFGScale.',
      ...prompt,
    },
    width: {
      about: 'Pixels; comes with height. Without both, the listed size nearest the first reference is taken.',
      type: 'integer',
    },
    height: { about: 'Pixels; comes with width.', type: 'integer' },
    // The page's maximum is 2^63 − 1 as JavaScript prints it. This is the printed number, which includes 2^63 − 1.
    seed: {
      about:
        'Where the noise begins: the same request with the same seed gives the same bytes. Random without it.',
      type: 'long',
      min: 0n,
      max: 9223372036854776000n,
    },
    steps: {
      about: 'Denoising steps; more take longer and draw finer. The model has its own default.',
      type: 'integer',
      min: 1,
      max: 50,
    },
    scheduler: {
      about: 'The sampler and how its noise levels are spread.',
      type: 'string',
      allowed: schedulerNames,
      default: 'Default',
    },
    CFGScale: {
      about: 'How strongly the prompt guides. The model is distilled to read it at no cost.',
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
      about: 'Adapters through which guide pictures set style or content.',
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
  about: 'Makes a picture from a sentence, or edits reference pictures as the sentence says.',
  schema,
  result,
  examples,
  constraints: constraintsFor(listedSizes),
  documentation: 'https://runware.ai/docs/models/flux-1-kontext-dev',
  rename: renameLegacy,
  checkTogether,
} as const satisfies TaskType<ImageInferenceTask>;
