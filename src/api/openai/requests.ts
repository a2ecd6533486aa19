/**
 * The requests of OpenAI's Images API (https://platform.openai.com/docs/api-reference/images), and what other servers of
 * diffusion models add to them: seed, num_inference_steps, guidance_scale, true_cfg_scale, negative_prompt and lora.
 */

import type { Infer, ObjectSchema, StringSchema } from '../schema.ts';
import { imageInference } from '../tasks/image-inference.ts';

export const kinds = ['edit', 'generation'] as const;
export type Kind = (typeof kinds)[number];

const native = imageInference.schema.properties;

/** Qualities of OpenAI's current models and of the older DALL·E models. */
const qualities = ['auto', 'low', 'medium', 'standard', 'high', 'hd', 'xhigh', 'max'] as const;
export type Quality = (typeof qualities)[number];

/** Parameters that clients send by default; accepted and ignored. */
const ignored = {
  complexity: { type: 'string', allowed: ['low', 'medium', 'high'] },
  input_fidelity: { type: 'string', allowed: ['low', 'high'] },
  moderation: { type: 'string', allowed: ['auto', 'low'] },
  safety_identifier: { type: 'string', maxLength: 512 },
  style: { type: 'string', allowed: ['vivid', 'natural'] },
  user: { type: 'string', maxLength: 512 },
} as const satisfies Record<string, StringSchema>;

const shared = {
  prompt: native.positivePrompt,
  model: { type: 'string', minLength: 1 },
  n: { type: 'integer', min: 1, max: 10, default: 1 },
  size: { type: 'string', minLength: 1, default: 'auto' },
  quality: { type: 'string', allowed: qualities, default: 'auto' },
  response_format: { type: 'string', allowed: ['b64_json', 'url'], default: 'b64_json' },
  output_format: { type: 'string', allowed: ['png', 'jpeg', 'webp'], default: 'png' },
  output_compression: { type: 'integer', min: 0, max: 100, default: 100 },
  background: {
    type: 'string',
    allowed: ['auto', 'opaque', 'transparent'],
    supported: ['auto', 'opaque'],
    default: 'auto',
  },
  stream: { type: 'boolean', default: false },
  partial_images: { type: 'integer', min: 0, max: 3, default: 0 },
  seed: native.seed,
  num_inference_steps: native.steps,
  guidance_scale: native.CFGScale,
  true_cfg_scale: native.trueCFGScale,
  negative_prompt: native.negativePrompt,
  lora: native.lora,
  ...ignored,
} as const;

const edit = {
  type: 'object',
  properties: {
    image: { ...native.inputs.properties.referenceImages, required: true, minItems: 1 },
    mask: {
      about: 'Mask of the first picture: its transparent pixels are edited, opaque ones stay.',
      type: 'string',
      minLength: 1,
    },
    ...shared,
  },
} as const satisfies ObjectSchema;

const generation = { type: 'object', properties: shared } as const satisfies ObjectSchema;

export const requestSchemas = { edit, generation } as const satisfies Record<Kind, ObjectSchema>;

type GenerationRequest = Infer<typeof generation>;
export type ImagesRequest = GenerationRequest & Partial<Pick<Infer<typeof edit>, 'image' | 'mask'>>;

/** Parameter of a Task → parameter of a request: errors name the latter. */
export const taskParameters: Readonly<Record<string, string>> = {
  positivePrompt: 'prompt',
  numberResults: 'n',
  outputType: 'response_format',
  outputFormat: 'output_format',
  outputQuality: 'output_compression',
  steps: 'num_inference_steps',
  CFGScale: 'guidance_scale',
  trueCFGScale: 'true_cfg_scale',
  negativePrompt: 'negative_prompt',
  width: 'size',
  height: 'size',
  'inputs.referenceImages': 'image',
  'inputs.maskImage': 'mask',
};

export const requestExamples: Readonly<Record<Kind, object>> = {
  edit: {
    image: ['https://example.com/scene-car.png'],
    prompt: 'turn the red car blue',
    size: 'auto',
    quality: 'medium',
    seed: 42,
  },
  generation: { prompt: 'a lighthouse on a cliff, in watercolours', size: '1536x1024', n: 2 },
};
