/** mediaStorage: stores an image for later tasks, or deletes one. */

import { show } from '../describe.ts';
import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';
import { isUuid, type Reader } from '../validate.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['mediaStorage'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    operation: { type: 'string', required: true, allowed: ['upload', 'delete'] },
    media: { type: 'string', required: true, minLength: 1 },
  },
} as const satisfies ObjectSchema;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['mediaStorage'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    operation: { type: 'string', required: true, allowed: ['upload', 'delete'] },
    mediaUUID: { type: 'string', required: true, format: 'uuid' },
    mediaURL: { type: 'string', format: 'uri' },
  },
} as const satisfies ObjectSchema;

export type MediaStorageTask = Infer<typeof schema>;

function checkTogether({ operation, media }: Partial<MediaStorageTask>, reader: Reader): void {
  if (operation !== 'delete' || media === undefined || isUuid(media)) return;
  const message = `Invalid value for 'media': found ${show(media)}, expected the UUID of a stored picture to delete.`;
  reader.report('invalidMedia', message, ['media'], { type: 'string' });
}

export const mediaStorage = {
  about: 'Stores a picture under a UUID, for the inputs of later tasks, or deletes one.',
  schema,
  result,
  examples: [
    {
      taskType: 'mediaStorage',
      taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
      operation: 'upload',
      media: 'https://example.com/photo.jpg',
    },
    {
      taskType: 'mediaStorage',
      taskUUID: '9f3c1f4e-2f55-4d0b-8d0a-6c2f0b1d7e61',
      operation: 'delete',
      media: '0c3cf644-3f55-4d0b-9d0a-6c2f0b1d7e61',
    },
  ],
  documentation: 'https://runware.ai/docs/platform/media-storage',
  checkTogether,
} as const satisfies TaskType<MediaStorageTask>;
