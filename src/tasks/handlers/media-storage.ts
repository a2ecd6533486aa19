import { documentationOf } from '../../api/documentation.ts';
import { apiError } from '../../api/errors.ts';
import type { Reply } from '../../api/results.ts';
import { type MediaStorageTask, mediaStorage as type } from '../../api/tasks/media-storage.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { Sources } from '../inputs/image-source.ts';
import { keepUpload } from '../inputs/uploads.ts';
import type { Call } from './handler.ts';

export async function* mediaStorage(
  { taskUUID, taskType, operation, media }: MediaStorageTask,
  { caller }: Call,
  { assets, sources }: { assets: AssetStore; sources: Sources },
): AsyncGenerator<Reply> {
  const id = { taskType, taskUUID, operation };
  const parameter = { parameter: 'media', documentation: documentationOf(type, 'media') };
  if (operation === 'upload') {
    const place = { ...parameter, where: 'media' };
    const { uuid, url } = await keepUpload({ text: media, place }, sources, caller);
    yield { item: { ...id, mediaUUID: uuid, mediaURL: url } };
    return;
  }
  const asset = await assets.get(media);
  if (asset?.account !== caller.account) {
    const message = `'media' is the UUID ${media}, and no stored picture of yours has it.`;
    throw apiError('mediaNotFound', message, parameter);
  }
  await assets.delete(media);
  yield { item: { ...id, mediaUUID: media } };
}
