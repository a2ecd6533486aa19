/** authentication: names the API key; over HTTP an alternative to the Authorization header. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['authentication'] },
    taskUUID: { type: 'string', format: 'uuid' },
    apiKey: { type: 'string' },
    connectionSessionUUID: { type: 'string' },
  },
} as const satisfies ObjectSchema;

export type AuthenticationTask = Infer<typeof schema>;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['authentication'] },
    connectionSessionUUID: { type: 'string', required: true, format: 'uuid' },
  },
} as const satisfies ObjectSchema;

export const authentication = {
  about: 'Authenticates the tasks that follow it, instead of the Authorization header.',
  schema,
  result,
  examples: [{ taskType: 'authentication', apiKey: 'the-key' }],
  documentation: 'https://runware.ai/docs/platform/authentication',
} as const satisfies TaskType<AuthenticationTask>;
