/** imageUpload: stores an image for later tasks; the older form of mediaStorage's upload. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageUpload'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    image: { type: 'string', required: true, minLength: 1 },
  },
} as const satisfies ObjectSchema;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['imageUpload'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    imageUUID: { type: 'string', required: true, format: 'uuid' },
    imageURL: { type: 'string', required: true, format: 'uri' },
  },
} as const satisfies ObjectSchema;

export type ImageUploadTask = Infer<typeof schema>;

export const imageUpload = {
  about: 'Stores a picture under a UUID, for the inputs of later tasks.',
  schema,
  result,
  examples: [
    {
      taskType: 'imageUpload',
      taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
      image: 'https://example.com/photo.jpg',
    },
  ],
  documentation: 'https://runware.ai/docs/utilities/image-upload',
} as const satisfies TaskType<ImageUploadTask>;
