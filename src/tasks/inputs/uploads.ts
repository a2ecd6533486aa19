/** A picture that a client gives to be kept → a stored asset. */

import { randomUUID } from 'node:crypto';
import { prepareUpload } from '../../engine/image/image-codec.ts';
import { RetouchError } from '../../error.ts';
import { isPictureFault } from '../failures.ts';
import { Turns } from '../semaphore.ts';
import { invalidPicture, type Place, type Reader, readPicture, type Sources } from './image-source.ts';

/** Of a stored picture; the hosted service's. */
const longestSide = 2048;

/** A decoded picture may take 200 MB. */
const turns = new Turns(2);

export type Upload = { uuid: string; url: string };

/** Throws API errors, `assetWriteFailed`, and the errors of the network that are not the request's fault. */
export async function keepPicture(
  text: string,
  place: Place,
  sources: Sources,
  caller: Reader & { publicUrl: string },
): Promise<Upload> {
  const given = await readPicture(text, place, sources, caller);
  const { bytes, format } = await turns.take(() => prepare(given, place, sources.maxPixels));
  const uuid = randomUUID();
  await sources.assets.put({ uuid, format, bytes, account: caller.account }, { durable: true });
  return { uuid, url: `${caller.publicUrl}/images/${uuid}.${format}` };
}

async function prepare(bytes: Uint8Array, place: Place, maxPixels: number | undefined) {
  try {
    return await prepareUpload(bytes, longestSide, maxPixels);
  } catch (error) {
    if (!(error instanceof RetouchError) || !isPictureFault(error.code)) throw error;
    throw invalidPicture(place, error.message);
  }
}
