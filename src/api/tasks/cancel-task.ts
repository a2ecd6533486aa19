/** cancelTask, an extension of ours: drops the task's queued images and stops a running one at its next step. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['cancelTask'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
  },
} as const satisfies ObjectSchema;

export type CancelTaskTask = Infer<typeof schema>;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['cancelTask'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    cancelledResults: { type: 'integer', required: true, min: 0 },
  },
} as const satisfies ObjectSchema;

export const cancelTask = {
  about: 'Cancels the unfinished images of a task.',
  schema,
  result,
  examples: [{ taskType: 'cancelTask', taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada' }],
  documentation: 'https://runware.ai/docs/platform/task-polling',
  namesOther: true,
} as const satisfies TaskType<CancelTaskTask>;
