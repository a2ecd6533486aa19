/** What a settled result is to a client. */

import { type Failure, failure } from '../../api/errors.ts';
import { parseJson, stringifyJson } from '../../api/json.ts';
import type { ImageItem, Reply } from '../../api/results.ts';
import type { StoredResult } from '../../store/tasks.ts';
import type { ServiceParts } from '../handler.ts';
import { mediaTypes } from './media-types.ts';
import type { Terms } from './terms.ts';

/** An item as it is kept: without the picture, which is in the asset store, and without a URL,
 * which is the reader's. The seed stands beside it. */
export type KeptItem = Omit<ImageItem, 'imageURL' | 'imageBase64Data' | 'imageDataURI' | 'seed'> & {
  format: keyof typeof mediaTypes;
};

export type Outcome = { item: KeptItem } | { failure: Failure };

type Assets = Pick<ServiceParts, 'assets'>;

export function writeOutcome(outcome: Outcome): { item: string } | { failure: string } {
  return 'item' in outcome
    ? { item: stringifyJson(outcome.item) }
    : { failure: stringifyJson(outcome.failure) };
}

export function readFailure(text: string): Failure {
  return parseJson(text) as Failure;
}

/** Undefined while the result is open. */
export async function showResult(
  result: StoredResult,
  terms: Pick<Terms, 'outputType'>,
  publicUrl: string,
  parts: Assets,
): Promise<Reply | undefined> {
  if (result.failure !== null) return { failure: readFailure(result.failure) };
  return result.item === null ? undefined : showImage(result, terms, publicUrl, parts);
}

export async function showImage(
  result: StoredResult,
  { outputType }: Pick<Terms, 'outputType'>,
  publicUrl: string,
  { assets }: Assets,
): Promise<Reply> {
  const { format, ...facts } = parseJson(result.item!) as KeptItem;
  const { taskType, taskUUID, imageUUID, ...rest } = facts;
  const seed = BigInt(result.seed);
  const place = { taskType, taskUUID };
  const tell = (picture: Partial<ImageItem>): Reply => ({
    item: { taskType, taskUUID, imageUUID, ...picture, seed, ...rest },
  });
  if (outputType === 'URL') return tell({ imageURL: `${publicUrl}/images/${imageUUID}.${format}` });
  const asset = await assets.get(imageUUID);
  if (!asset) {
    const message = `The picture ${imageUUID} was made, and is no longer stored.`;
    return { failure: failure('mediaNotFound', message, place) };
  }
  const data = toBase64(asset.bytes);
  if (outputType === 'base64Data') return tell({ imageBase64Data: data });
  return tell({ imageDataURI: `data:${mediaTypes[format]};base64,${data}` });
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
