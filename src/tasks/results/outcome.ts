/** Settled results in the form of the wire. */

import { type Failure, failure } from '../../api/errors.ts';
import { stringifyJson } from '../../api/json.ts';
import type { ImageItem, PendingReply, Reply } from '../../api/results.ts';
import type { AssetStore } from '../../store/assets.ts';
import { mediaTypes } from '../../store/assets.ts';
import type { StoredOutcome, StoredResult } from '../../store/tasks.ts';
import { readSeed, readStored } from './stored-json.ts';
import type { Terms } from './terms.ts';

/**
 * An item in the database. It lacks the image, which is in the asset store, the URL, which depends on the client's
 * address of the server, and the seed, which has its own column.
 */
export type KeptItem = Omit<ImageItem, 'imageURL' | 'imageBase64Data' | 'imageDataURI' | 'seed'> & {
  format: keyof typeof mediaTypes;
};

export type Outcome = { item: KeptItem } | { failure: Failure };

export function writeOutcome(outcome: Outcome): StoredOutcome {
  return 'item' in outcome
    ? { item: stringifyJson(outcome.item) }
    : { failure: stringifyJson(outcome.failure) };
}

/** Throws `databaseCorrupt`. */
export function readItem(text: string): KeptItem {
  return readStored(text, 'an image');
}

/** Throws `databaseCorrupt`. */
function readFailure(text: string): Failure {
  return readStored(text, 'the error of an image');
}

/** The form of an answer: the image's output type, and the address at which the client reaches the server. */
export type View = Pick<Terms, 'outputType' | 'publicUrl'>;

/** Undefined while the result is open. */
export async function showResult(
  result: StoredResult,
  view: View,
  assets: AssetStore,
): Promise<Reply | undefined> {
  if (result.failure !== null) return { failure: readFailure(result.failure) };
  return result.item === null ? undefined : showImage(result, view, assets);
}

/** Like `showResult`, but an image inside the answer is read when the answer is written. */
export async function offerResult(
  result: StoredResult,
  view: View,
  assets: AssetStore,
): Promise<PendingReply | undefined> {
  if (result.item === null || view.outputType === 'URL') return showResult(result, view, assets);
  const item = readItem(result.item);
  if (!(await assets.has(item.imageUUID))) return noLongerStored(item);
  return { imageUUID: item.imageUUID, read: () => showImage(result, view, assets) };
}

async function showImage(
  result: StoredResult,
  { outputType, publicUrl }: View,
  assets: AssetStore,
): Promise<Reply> {
  const { format, ...facts } = readItem(result.item!);
  const { taskType, taskUUID, imageUUID, ...rest } = facts;
  const seed = readSeed(result.seed);
  const tell = (image: Partial<ImageItem>): Reply => ({
    item: { taskType, taskUUID, imageUUID, ...image, seed, ...rest },
  });
  if (outputType === 'URL') {
    if (!(await assets.has(imageUUID))) return noLongerStored(facts);
    return tell({ imageURL: await assets.urlOf(imageUUID, format, publicUrl) });
  }
  const asset = await assets.get(imageUUID);
  if (!asset) return noLongerStored(facts);
  const data = toBase64(asset.bytes);
  if (outputType === 'base64Data') return tell({ imageBase64Data: data });
  return tell({ imageDataURI: `data:${mediaTypes[format]};base64,${data}` });
}

function noLongerStored({ taskType, taskUUID, imageUUID }: Omit<KeptItem, 'format'>): Reply {
  const message = `The image ${imageUUID} was made, and is no longer stored.`;
  return { failure: failure('mediaNotFound', message, { taskType, taskUUID }) };
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
