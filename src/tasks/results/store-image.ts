/** Image → Delivery: stored under its UUID, whatever the form in which it is answered: it may be a later reference. */

import type { EncodedImage } from '../../engine/plan.ts';
import type { AssetStore } from '../../store/assets.ts';
import type { KnownTask } from './lookup.ts';
import type { KeptItem } from './outcome.ts';

export async function deliverImage(
  { account, terms }: KnownTask,
  imageUUID: string,
  { bytes, format, nsfw }: EncodedImage,
  assets: AssetStore,
): Promise<KeptItem> {
  const { ttl, taskUUID } = terms;
  const expiry = ttl === undefined ? {} : { expires: Date.now() + ttl * 1000 };
  await assets.put({ uuid: imageUUID, format, bytes, account, ...expiry });
  const checked = nsfw === undefined ? {} : { NSFWContent: nsfw };
  return { taskType: 'imageInference', taskUUID, imageUUID, ...checked, format };
}
