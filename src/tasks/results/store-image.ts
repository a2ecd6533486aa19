import type { FinishedImage } from '../../engine/plan.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { KnownTask } from './lookup.ts';
import type { KeptItem } from './outcome.ts';

/** Stores a finished image, in whatever form it is answered: a later task may name it as a reference. */
export async function storeImage(
  { account, terms }: KnownTask,
  { uuid, image: { bytes, format, nsfw } }: { uuid: string; image: FinishedImage },
  assets: AssetStore,
): Promise<KeptItem> {
  const { ttl, taskUUID } = terms;
  await assets.put({ uuid, format, bytes, account, ...(ttl === undefined ? {} : { ttl: ttl * 1000 }) });
  const checked = nsfw === undefined ? {} : { NSFWContent: nsfw };
  return { taskType: 'imageInference', taskUUID, imageUUID: uuid, ...checked, format };
}
