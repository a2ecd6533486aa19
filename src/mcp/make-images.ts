/** The tools edit_image and generate_image: their arguments are requests of the Images API, and become the same tasks. */

import { randomUUID } from 'node:crypto';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { type Failure, failureOf } from '../api/errors.ts';
import { inClientWords } from '../api/openai/errors.ts';
import { type Kind, requestSchemas } from '../api/openai/requests.ts';
import { translate } from '../api/openai/translate.ts';
import type { ImageItem } from '../api/results.ts';
import type { Infer, ObjectSchema } from '../api/schema.ts';
import type { EngineEvent } from '../engine/plan.ts';
import { performUntilLeft, translationFor, withTaskMask } from '../server/images.ts';
import type { Follower } from '../tasks/follower.ts';
import { pictureUri } from './pictures.ts';
import { type Desk, refusal, type Tool, type ToolCall } from './tool.ts';

const fields = requestSchemas.edit.properties;

const shared = {
  prompt: {
    ...fields.prompt,
    about: 'An instruction such as "turn the red car blue", or the picture to draw.',
  },
  model: { ...fields.model, about: 'An id from list_models; the default model without one.' },
  n: { ...fields.n, max: 4, about: 'How many pictures, with seeds that follow each other.' },
  size: {
    ...fields.size,
    about:
      'auto (the shape of the first picture), or a size such as 1536x1024; the nearest supported size is drawn.',
  },
  quality: { ...fields.quality, about: 'How many steps are taken: low, medium or high.' },
  output_format: { ...fields.output_format, default: 'jpeg' },
  // JSON numbers of other programs are exact up to here.
  seed: {
    type: 'integer',
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    about: 'The same seed and arguments give the same picture.',
  },
  num_inference_steps: { ...fields.num_inference_steps, about: 'Steps; goes before quality.' },
  guidance_scale: { ...fields.guidance_scale, about: 'How closely the prompt is followed.' },
  negative_prompt: { ...fields.negative_prompt, about: 'What to avoid; works with true_cfg_scale above 1.' },
  true_cfg_scale: { ...fields.true_cfg_scale, about: 'Above 1 every step takes twice as long.' },
  lora: { ...fields.lora, about: 'LoRAs by their ids from list_models.' },
} as const;

const editArguments = {
  type: 'object',
  properties: {
    images: {
      ...fields.image,
      about:
        'Pictures to edit; the first one determines the shape: http(s) URLs, data URIs, resource URIs ' +
        '(retouch://pictures/…) of earlier results, or image contents.',
    },
    mask: {
      ...fields.mask,
      about:
        'A mask of the size of the first picture; the first picture is edited only where the mask is transparent.',
    },
    ...shared,
  },
} as const satisfies ObjectSchema;

const generateArguments = { type: 'object', properties: shared } as const satisfies ObjectSchema;

const output = {
  type: 'object',
  properties: {
    model: { type: 'string' },
    pictures: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          uri: {
            type: 'string',
            description: 'Of the stored picture: a resource, and an input of edit_image.',
          },
          url: { type: 'string' },
          path: { type: 'string', description: 'Of the file, where one was asked for.' },
          seed: { type: 'integer' },
          size: { type: 'string' },
          mimeType: { type: 'string' },
        },
        required: ['uri', 'seed', 'mimeType'],
      },
    },
  },
  required: ['model', 'pictures'],
} as const;

const annotations = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: false,
};

export const editImage: Tool<Infer<typeof editArguments>> = {
  title: 'Edit pictures',
  description:
    'Edits pictures as an instruction says and answers the new pictures. Several pictures are references together. ' +
    'To continue from a result, give its uri as the picture of the next call.',
  schema: editArguments,
  output,
  annotations,
  async run(given, desk, call) {
    try {
      return await make('edit', (await withTaskMask(given, desk.sources, call)) as object, desk, call);
    } catch (error) {
      const known = failureOf(error);
      if (known) return refuse([known]);
      throw error;
    }
  },
};

export const generateImage: Tool<Infer<typeof generateArguments>> = {
  title: 'Make pictures',
  description: 'Makes pictures from words alone.',
  schema: generateArguments,
  output,
  annotations,
  run: (given, desk, call) => make('generation', given, desk, call),
};

async function make(kind: Kind, given: object, desk: Desk, call: ToolCall): Promise<CallToolResult> {
  const { service, models } = desk;
  // Clients show results in a chat, and some refuse large ones.
  const wire = { output_compression: 90, ...given };
  const translated = translate(kind, wire, translationFor(randomUUID(), service, models));
  if ('failures' in translated) {
    service.refuse(translated.failures);
    return refuse(translated.failures);
  }
  const { request, task } = translated;
  const sizes = new Map<string, string>();
  const follower: Follower = {
    previews: 0,
    onAccept: () => {},
    onEvent: watchSteps(request.n, call, sizes),
  };
  const items: ImageItem[] = [];
  const failures: Failure[] = [];
  const { account, publicUrl, signal } = call;
  const caller = { account, publicUrl, signal, follower, patient: true };
  for await (const reply of performUntilLeft(service, task, caller)) {
    if ('failure' in reply) failures.push(reply.failure);
    else items.push(reply.item as ImageItem);
  }
  if (items.length === 0) return refuse(failures);
  const mimeType = `image/${request.output_format}`;
  const format = fileEnding[request.output_format];
  const urlOf = async (uuid: string) => ({ url: await desk.assets.urlOf(uuid, format, publicUrl) });
  const pictures = await Promise.all(
    items.map(async ({ imageUUID, seed }) => ({
      uri: pictureUri(imageUUID),
      ...(publicUrl === '' ? {} : await urlOf(imageUUID)),
      seed: Number(seed),
      ...(sizes.has(imageUUID) ? { size: sizes.get(imageUUID)! } : {}),
      mimeType,
    })),
  );
  const model = (task.wire as { model: string }).model;
  const lines = pictures.map(({ uri, seed, size }) => `${uri} · ${size ?? ''} · seed ${seed} · ${model}`);
  const notes = failures.map(({ error }) => error.message);
  return {
    content: [
      ...items.map(({ imageBase64Data = '' }) => ({
        type: 'image' as const,
        data: imageBase64Data,
        mimeType,
      })),
      { type: 'text', text: [...lines, ...notes].join('\n') },
    ],
    structuredContent: { model, pictures },
  };
}

const fileEnding = { png: 'png', jpeg: 'jpg', webp: 'webp' } as const;

function refuse(failures: readonly Failure[]): CallToolResult {
  if (failures.length === 0) return refusal(['The call was cancelled.']);
  const messages = failures.map((failure) => inClientWords(failure).error.message);
  // The tool's list has the plural name.
  return refusal(messages.map((message) => message.replace(/'image(\[\d+\])?'/g, "'images$1'")));
}

/** Progress in steps of all pictures together. */
function watchSteps(count: number, call: ToolCall, sizes: Map<string, string>) {
  const done = new Map<string, number>();
  return (result: string, event: EngineEvent) => {
    if (event.type === 'image') sizes.set(result, `${event.image.width}x${event.image.height}`);
    if (event.type !== 'step-end') return;
    done.set(result, event.index + 1);
    const sum = [...done.values()].reduce((total, steps) => total + steps, 0);
    const which = count === 1 ? '' : `picture ${done.size} of ${count}, `;
    call.progress(sum, count * event.steps, `${which}step ${event.index + 1} of ${event.steps}`);
  };
}
