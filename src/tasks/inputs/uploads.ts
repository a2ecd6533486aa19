/** An uploaded image → a stored asset. */

import { randomUUID } from 'node:crypto';
import { RetouchError } from '../../error.ts';
import { isImageFault } from '../failures.ts';
import type { Caller } from '../handlers/handler.ts';
import { decodeOptions, invalidImage, type Place, readImage, type Sources } from './image-source.ts';

/** Longest side of a stored image; the hosted service's limit. */
const longestSide = 2048;

/** `text` is the parameter that names or holds the image. */
export type Given = { text: string; place: Place };
export type Upload = { uuid: string; url: string };

/** Throws API errors, `assetWriteFailed`, and errors of the network that are not the request's fault. */
export async function keepUpload(
  { text, place }: Given,
  sources: Sources,
  caller: Pick<Caller, 'account' | 'signal' | 'publicUrl'>,
): Promise<Upload> {
  const given = await readImage({ text, place }, sources, caller);
  const { bytes, format } = await prepare(given, place, { sources, caller });
  const uuid = randomUUID();
  const { assets, quota } = sources;
  const asset = { uuid, format, bytes, account: caller.account };
  await assets.put(asset, { durable: true, ...(quota === undefined ? {} : { quota }) });
  return { uuid, url: await assets.urlOf(uuid, format, caller.publicUrl) };
}

async function prepare(
  bytes: Uint8Array,
  place: Place,
  { sources, caller }: { sources: Sources; caller: Pick<Caller, 'account'> },
) {
  try {
    return await sources.decoder.prepareUpload(bytes, longestSide, decodeOptions(sources, caller));
  } catch (error) {
    if (!(error instanceof RetouchError) || !isImageFault(error.code)) throw error;
    throw invalidImage(place, error.message);
  }
}
