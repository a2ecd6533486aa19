/** getResponse: the current state and results of a task, for clients that poll. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['getResponse'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
  },
} as const satisfies ObjectSchema;

export type GetResponseTask = Infer<typeof schema>;

/** The state of each image; a finished image also has the members of its task type's result. */
const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    status: { type: 'string', required: true, allowed: ['processing', 'success'] },
    imageUUID: { type: 'string', format: 'uuid' },
    progress: { type: 'integer', min: 0, max: 100 },
    phase: {
      type: 'string',
      allowed: ['load', 'encode', 'denoise', 'decode', 'faces', 'safety'],
      about: 'The work under way, while the image is being made; an extension of this server.',
    },
    secondsLeft: {
      type: 'integer',
      min: 0,
      about: 'Seconds until the image, as forecast; for images that take longer than two. An extension.',
    },
  },
} as const satisfies ObjectSchema;

export const getResponse = {
  about: 'The results of a task so far, and the progress of the rest.',
  schema,
  result,
  examples: [{ taskType: 'getResponse', taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada' }],
  documentation: 'https://runware.ai/docs/platform/task-polling',
  namesOther: true,
} as const satisfies TaskType<GetResponseTask>;
