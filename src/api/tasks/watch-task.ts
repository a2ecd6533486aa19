/**
 * watchTask, an extension: reports the progress of a task's queued and running images, only to clients that send it.
 */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['watchTask'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    previews: {
      type: 'integer',
      min: 0,
      max: 50,
      default: 0,
      about: 'Most previews of each image, spread over its steps; each takes the time of decoding one.',
    },
  },
} as const satisfies ObjectSchema;

export type WatchTaskTask = Infer<typeof schema>;

const count = { type: 'integer', min: 0 } as const;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['watchTask'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    imageUUID: { type: 'string', format: 'uuid' },
    status: { type: 'string', required: true, allowed: ['waiting', 'processing', 'success', 'error'] },
    queuePosition: { ...count, about: 'Images that are made before this one; while it waits.' },
    phase: { type: 'string', allowed: ['load', 'encode', 'denoise', 'decode', 'faces', 'safety'] },
    message: { type: 'string', about: 'The work inside a phase that is not counted in steps.' },
    fraction: { type: 'float', min: 0, max: 1, about: 'The share of that work that is done.' },
    progress: {
      ...count,
      max: 100,
      about: 'Percent of the image; for images that take longer than two seconds.',
    },
    secondsLeft: { ...count, about: 'Seconds until the image, as forecast; for the same images.' },
    bytes: {
      type: 'object',
      about: 'Bytes of converted weights that are written, and of the whole file.',
      properties: { done: { ...count, required: true }, total: { ...count, required: true } },
    },
    step: { ...count, about: 'Steps that are done.' },
    steps: count,
    milliseconds: { type: 'float', min: 0, about: 'The time of the last step.' },
    previewDataURI: { type: 'string' },
    faces: { ...count, about: 'Faces that were found.' },
    cache: {
      type: 'object',
      about: 'Evaluations that the step cache reused for this image.',
      properties: {
        evaluations: { ...count, required: true },
        reused: { ...count, required: true },
        savedMilliseconds: { type: 'float', required: true },
      },
    },
  },
} as const satisfies ObjectSchema;

export const watchTask = {
  about: "Reports the progress of a task's images over a WebSocket, until the last one ends.",
  schema,
  result,
  examples: [{ taskType: 'watchTask', taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada', previews: 4 }],
  documentation: 'https://runware.ai/docs/platform/task-polling',
  namesOther: true,
} as const satisfies TaskType<WatchTaskTask>;
