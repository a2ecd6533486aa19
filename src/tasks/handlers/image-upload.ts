import { documentationOf } from '../../api/documentation.ts';
import type { Reply } from '../../api/results.ts';
import { type ImageUploadTask, imageUpload as type } from '../../api/tasks/image-upload.ts';
import type { Sources } from '../inputs/image-source.ts';
import { keepUpload } from '../inputs/uploads.ts';
import type { Call } from './handler.ts';

export async function* imageUpload(
  { taskUUID, taskType, image }: ImageUploadTask,
  { caller }: Call,
  { sources }: { sources: Sources },
): AsyncGenerator<Reply> {
  const place = { parameter: 'image', where: 'image', documentation: documentationOf(type, 'image') };
  const { uuid, url } = await keepUpload({ text: image, place }, sources, caller);
  yield { item: { taskType, taskUUID, imageUUID: uuid, imageURL: url } };
}
