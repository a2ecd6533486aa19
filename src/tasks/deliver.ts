/** Image → Delivery: stored under its UUID, and answered in the form asked for. */

import { randomUUID } from 'node:crypto';
import type { ImageItem } from '../api/results.ts';
import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import type { EncodedImage, ImageFormat } from '../engine/plan.ts';
import type { AssetStore } from '../store/assets.ts';

export const mediaTypes: Readonly<Record<ImageFormat, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
};

export type DeliveryTarget = {
  assets: AssetStore;
  /** Start of the URLs that the client can reach, without a slash at the end. */
  publicUrl: string;
};

/** Also a picture that is answered in the body is stored: its UUID may be a later task's reference. */
export async function deliverImage(
  task: ImageInferenceTask,
  seed: bigint,
  image: EncodedImage,
  { assets, publicUrl }: DeliveryTarget,
): Promise<ImageItem> {
  const imageUUID = randomUUID();
  const { bytes, format } = image;
  await assets.put({ uuid: imageUUID, format, bytes });
  const id = { taskType: 'imageInference', taskUUID: task.taskUUID, imageUUID } as const;
  switch (task.outputType) {
    case 'URL':
      return { ...id, imageURL: `${publicUrl}/images/${imageUUID}.${format}`, seed };
    case 'base64Data':
      return { ...id, imageBase64Data: toBase64(bytes), seed };
    case 'dataURI':
      return { ...id, imageDataURI: `data:${mediaTypes[format]};base64,${toBase64(bytes)}`, seed };
  }
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
