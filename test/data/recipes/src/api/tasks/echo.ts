import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['echo'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    text: { type: 'string', required: true },
  },
} as const satisfies ObjectSchema;

export const echo = {
  about: 'Answers what it was sent.',
  schema,
  result: schema,
  examples: [{ taskType: 'echo', taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada', text: 'hello' }],
  documentation: 'https://example.com/echo',
} as const satisfies TaskType<Infer<typeof schema>>;
