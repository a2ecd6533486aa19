import type { FinishedImage } from '../../engine/plan.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { KnownTask } from './lookup.ts';
import type { KeptItem } from './outcome.ts';

type Finished = { uuid: string; image: FinishedImage; signal: AbortSignal };

/** Stores a finished image, for every output type: a later task may name it as a reference. */
export async function storeImage(
  { account, terms }: KnownTask,
  { uuid, image: { bytes, format, nsfw }, signal }: Finished,
  assets: AssetStore,
): Promise<KeptItem> {
  const { ttl, taskUUID } = terms;
  const asset = { uuid, format, bytes, account, ...(ttl === undefined ? {} : { ttl: ttl * 1000 }) };
  // Made in seconds or hours: a storage that is away for a while must not cost the image.
  await assets.put(asset, { patience: signal });
  const checked = nsfw === undefined ? {} : { NSFWContent: nsfw };
  return { taskType: 'imageInference', taskUUID, imageUUID: uuid, ...checked, format };
}
