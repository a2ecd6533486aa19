/** getTaskDetails: a task's request and its results. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['getTaskDetails'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
  },
} as const satisfies ObjectSchema;

export type GetTaskDetailsTask = Infer<typeof schema>;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['getTaskDetails'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    request: { type: 'array', required: true, items: { type: 'object', properties: {} } },
    response: {
      type: 'object',
      required: true,
      properties: {
        data: { type: 'array', items: { type: 'object', properties: {} } },
        errors: { type: 'array', items: { type: 'object', properties: {} } },
      },
    },
    warnings: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          imageUUID: { type: 'string', required: true, format: 'uuid' },
          code: { type: 'string', required: true },
          message: { type: 'string', required: true },
        },
      },
    },
  },
} as const satisfies ObjectSchema;

export const getTaskDetails = {
  about: 'The request of a task, and its results so far.',
  schema,
  result,
  examples: [{ taskType: 'getTaskDetails', taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada' }],
  documentation: 'https://runware.ai/docs/platform/task-details',
  namesOther: true,
} as const satisfies TaskType<GetTaskDetailsTask>;
