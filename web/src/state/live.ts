/** Progress of running edits, as watchTask reports it. */

import { signal } from '@preact/signals';
import { fromBase64 } from '../pictures/picture.ts';
import type { Item } from '../server/wire.ts';
import type { LiveEdit, LiveImage } from './progress.ts';

/** By taskUUID. */
export const live = signal<ReadonlyMap<string, LiveEdit>>(new Map());

const remembered = 12;

export function hearImage(item: Item): void {
  const { taskUUID, imageUUID } = item;
  if (!imageUUID) return;
  const edit = live.value.get(taskUUID) ?? { images: new Map(), stepTimes: [] };
  const { taskType: _, taskUUID: __, previewDataURI, milliseconds, queuePosition, ...facts } = item;
  const before = edit.images.get(imageUUID);
  const image = {
    ...before,
    ...facts,
    ...(typeof previewDataURI === 'string' ? { preview: fromBase64(previewDataURI) } : {}),
  } as LiveImage;
  if (typeof queuePosition === 'number') image.queuePosition = queuePosition;
  else delete image.queuePosition;
  const times = typeof milliseconds === 'number' ? [...edit.stepTimes, milliseconds] : edit.stepTimes;
  const next = { images: new Map(edit.images).set(imageUUID, image), stepTimes: times.slice(-remembered) };
  live.value = new Map(live.value).set(taskUUID, next);
}

export function forgetLive(id: string): void {
  const next = new Map(live.value);
  next.delete(id);
  live.value = next;
}
