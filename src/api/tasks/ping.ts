/** ping: keeps a connection alive. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['ping'] },
    taskUUID: { type: 'string', format: 'uuid' },
    ping: { type: 'boolean' },
  },
} as const satisfies ObjectSchema;

export type PingTask = Infer<typeof schema>;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['ping'] },
    taskUUID: { type: 'string', format: 'uuid' },
    pong: { type: 'boolean', required: true },
  },
} as const satisfies ObjectSchema;

export const ping = {
  about: 'Keeps a connection alive.',
  schema,
  result,
  examples: [{ taskType: 'ping', ping: true }],
  documentation: 'https://runware.ai/docs/platform/websockets',
} as const satisfies TaskType<PingTask>;
