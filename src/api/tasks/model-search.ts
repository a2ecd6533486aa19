/** modelSearch: lists the installed models and adapters. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { Renamed, TaskType, WireObject } from '../task-type.ts';

/** The hosted service's categories, followed by this server's adapter categories. */
const searchCategories = [
  'checkpoint',
  'lora',
  'lycoris',
  'controlnet',
  'vae',
  'embeddings',
  'ip-adapter',
  'face-detector',
  'safety-classifier',
] as const;

/** Architecture names that clients send; both names of FLUX.1 Kontext [dev] are in use. */
const architectures = [
  'flux-1-kontext-dev',
  'flux1d',
  'flux1s',
  'fluxkontextdev',
  'fluxkontextpro',
  'pony',
  'sd1x',
  'sd1xlcm',
  'sd3',
  'sdhyper',
  'sdxl',
  'sdxldistilled',
  'sdxlhyper',
  'sdxllcm',
  'sdxllightning',
  'sdxlturbo',
] as const;

const conditionings = [
  'blur',
  'canny',
  'depth',
  'gray',
  'hed',
  'inpaint',
  'inpaint depth',
  'line art',
  'low quality',
  'normal bae',
  'openmlsd',
  'openpose',
  'outfit',
  'pix2pix',
  'qrcode',
  'scrible',
  'segmentation',
  'shuffle',
  'sketch',
  'softedge',
  'tile',
] as const;

const capabilities = ['io:text-to-image', 'io:image-to-image', 'op:edit'] as const;
const sorts = ['relevance', 'name', '-name'] as const;

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['modelSearch'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    search: { type: 'string', maxLength: 500 },
    tags: { type: 'array', items: { type: 'string', minLength: 1, maxLength: 100 }, maxItems: 100 },
    category: { type: 'string', allowed: searchCategories },
    type: { type: 'string', allowed: ['base', 'inpainting', 'pix2pix', 'refiner'] },
    architecture: { type: 'string', allowed: architectures },
    conditioning: { type: 'string', allowed: conditionings },
    visibility: {
      type: 'string',
      allowed: ['public', 'private', 'all', 'favorite', 'owned'],
      default: 'all',
    },
    source: { type: 'string', minLength: 1, maxLength: 100 },
    capabilities: { type: 'array', items: { type: 'string', allowed: capabilities }, maxItems: 10 },
    limit: { type: 'integer', min: 1, max: 100, default: 20 },
    offset: { type: 'integer', min: 0, default: 0 },
    sort: { type: 'string', allowed: sorts, default: 'relevance' },
  },
} as const satisfies ObjectSchema;

const model = {
  type: 'object',
  properties: {
    name: { type: 'string', required: true },
    air: { type: 'string', required: true },
    version: { type: 'string', required: true },
    category: { type: 'string', required: true, allowed: searchCategories },
    type: { type: 'string' },
    architecture: { type: 'string', required: true },
    tags: { type: 'array', required: true, items: { type: 'string' } },
    private: { type: 'boolean', required: true },
    comment: { type: 'string', required: true },
    defaultWidth: { type: 'integer' },
    defaultHeight: { type: 'integer' },
    defaultSteps: { type: 'integer' },
    defaultCFG: { type: 'float' },
    defaultScheduler: { type: 'string' },
    license: { type: 'string', required: true },
    photographs: { type: 'boolean', about: 'Of a checkpoint: whether it edits photographs.' },
    examples: {
      type: 'array',
      about: 'For checkpoints: prompts that the model understands, each with a picture to try it on.',
      items: {
        type: 'object',
        properties: {
          prompt: { type: 'string', required: true },
          imageURL: { type: 'string', format: 'uri' },
        },
      },
    },
  },
} as const satisfies ObjectSchema;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['modelSearch'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    totalResults: { type: 'integer', required: true, min: 0 },
    results: { type: 'array', required: true, items: model },
  },
} as const satisfies ObjectSchema;

export type ModelSearchTask = Infer<typeof schema>;

/** The hosted service's own example gives one tag without a list. */
function rename(task: WireObject): Renamed {
  const { tags } = task;
  const renamed = typeof tags === 'string' ? { ...task, tags: [tags] } : task;
  return { task: renamed, spelling: new Map(), clashes: [] };
}

export const modelSearch = {
  about: 'Searches the installed models and adapters.',
  schema,
  result,
  examples: [
    {
      taskType: 'modelSearch',
      taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
      search: 'kontext',
      category: 'checkpoint',
      limit: 10,
    },
  ],
  documentation: 'https://runware.ai/docs/platform/model-search',
  rename,
} as const satisfies TaskType<ModelSearchTask>;
