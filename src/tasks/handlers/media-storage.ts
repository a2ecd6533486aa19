import { apiError } from '../../api/errors.ts';
import type { Reply } from '../../api/results.ts';
import { type MediaStorageTask, mediaStorage as type } from '../../api/tasks/media-storage.ts';
import type { Context } from '../handler.ts';
import { keepPicture } from '../inputs/uploads.ts';

export async function* mediaStorage(
  { taskUUID, operation, media }: MediaStorageTask,
  { parts, caller }: Context,
): AsyncGenerator<Reply> {
  const id = { taskType: 'mediaStorage', taskUUID, operation } as const;
  const place = { parameter: 'media', where: 'media', documentation: `${type.documentation}#request-media` };
  if (operation === 'upload') {
    const { uuid, url } = await keepPicture(media, place, parts, caller);
    yield { item: { ...id, mediaUUID: uuid, mediaURL: url } };
    return;
  }
  const asset = await parts.assets.get(media);
  if (asset?.account !== caller.account) {
    const { where: _, ...facts } = place;
    throw apiError(
      'mediaNotFound',
      `'media' is the UUID ${media}, and no stored picture of yours has it.`,
      facts,
    );
  }
  await parts.assets.delete(media);
  yield { item: { ...id, mediaUUID: media } };
}
