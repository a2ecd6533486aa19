import type { Reply } from '../../api/results.ts';
import { type ImageUploadTask, imageUpload as type } from '../../api/tasks/image-upload.ts';
import type { Context } from '../handler.ts';
import { keepPicture } from '../inputs/uploads.ts';

export async function* imageUpload(
  { taskUUID, image }: ImageUploadTask,
  { parts, caller }: Context,
): AsyncGenerator<Reply> {
  const place = { parameter: 'image', where: 'image', documentation: `${type.documentation}#request-image` };
  const { uuid, url } = await keepPicture(image, place, parts, caller);
  yield { item: { taskType: 'imageUpload', taskUUID, imageUUID: uuid, imageURL: url } };
}
