/** Task → Inputs: every picture the task names, fetched and looked at. */

import { apiError, type ErrorPlace, type Failure } from '../api/errors.ts';
import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import { isUuid } from '../api/validate.ts';
import { probeImage } from '../engine/image.ts';
import { RetouchError } from '../error.ts';
import { type FetchLimits, fetchUrl, type NetErrorCode } from '../net.ts';
import type { AssetStore } from '../store/assets.ts';
import { isPictureFault } from './failures.ts';

/** Width and height are as seen, after the EXIF orientation. */
export type Reference = { bytes: Uint8Array; width: number; height: number };
export type Inputs = { references: Reference[] };

export type Sources = { assets: AssetStore; fetch: Omit<FetchLimits, 'maxBytes'> };

/** Of one encoded picture. */
const maxBytes = 32 * 2 ** 20;

const documentation = 'https://runware.ai/docs/models/flux-1-kontext-dev#request-inputs-referenceimages';
const expected =
  'expected the UUID of a stored picture, an http(s) URL, a data URI or base64 of a PNG, JPG or WEBP';

/** Throws an AggregateError of what is wrong with each picture that cannot be had or is none. */
export async function resolveInputs(
  task: ImageInferenceTask,
  sources: Sources,
  signal: AbortSignal,
): Promise<Inputs> {
  const given = task.inputs?.referenceImages ?? [];
  const resolving = given.map((text, index) => resolveReference(text, index, sources, signal));
  const settled = await Promise.allSettled(resolving);
  const errors = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors);
  return { references: settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])) };
}

async function resolveReference(
  text: string,
  index: number,
  sources: Sources,
  signal: AbortSignal,
): Promise<Reference> {
  const where = `inputs.referenceImages[${index}]`;
  const bytes = await readReference(text, where, sources, signal);
  try {
    const { width, height } = await probeImage(bytes);
    return { bytes, width, height };
  } catch (error) {
    if (!(error instanceof RetouchError) || !isPictureFault(error.code)) throw error;
    throw invalid(`Invalid value for '${where}': ${error.message}`);
  }
}

async function readReference(
  text: string,
  where: string,
  sources: Sources,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (isUuid(text)) return readAsset(text, where, sources.assets);
  if (/^data:/i.test(text)) return decodeDataUri(text, where);
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return download(text, where, sources.fetch, signal);
  return decodeBase64(text, where);
}

async function readAsset(uuid: string, where: string, assets: AssetStore): Promise<Uint8Array> {
  const asset = await assets.get(uuid);
  if (asset) return asset.bytes;
  throw apiError('mediaNotFound', `'${where}' is the UUID ${uuid}, and no stored picture has it.`, place());
}

async function download(
  url: string,
  where: string,
  limits: Sources['fetch'],
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    const { bytes } = await fetchUrl(url, { ...limits, maxBytes }, signal);
    return bytes;
  } catch (error) {
    if (!(error instanceof RetouchError) || error.code === 'fetchAborted') throw error;
    const message = `Invalid value for '${where}': ${error.message}`;
    // These are the request's fault for good; the others may pass, and clients may retry them.
    const permanent: string[] = ['addressRefused', 'fetchTooLarge', 'urlRefused'] satisfies NetErrorCode[];
    throw permanent.includes(error.code) ? invalid(message) : apiError('downloadFailed', message, place());
  }
}

function decodeDataUri(text: string, where: string): Uint8Array {
  const comma = text.indexOf(',');
  const header = text.slice(0, comma < 0 ? 60 : comma);
  if (comma >= 0 && /;\s*base64\s*$/i.test(header)) return decodeBase64(text.slice(comma + 1), where);
  throw invalid(
    `Invalid value for '${where}': found a data URI '${header.slice(0, 60)}', expected data:<type>;base64,<data>.`,
  );
}

function decodeBase64(text: string, where: string): Uint8Array {
  // Mail and shells wrap lines; a space would make base64 of any sentence.
  const characters = /[\r\n]/.test(text) ? text.replace(/[\r\n]+/g, '') : text;
  const digits = characters.replace(/={1,2}$/, '');
  if (digits === '' || /[^A-Za-z0-9+/_-]/.test(digits)) {
    const found = text.length > 60 ? `${text.slice(0, 60)}…` : text;
    throw invalid(`Invalid value for '${where}': found '${found}', ${expected}.`);
  }
  const size = Math.floor((digits.length * 3) / 4);
  if (size > maxBytes) {
    throw invalid(
      `Invalid value for '${where}': found a picture of ${size} bytes, expected at most ${maxBytes}.`,
    );
  }
  return Buffer.from(characters, 'base64');
}

function invalid(message: string): RetouchError {
  const error = { code: 'invalidReferenceImages', message, ...place() };
  const failure: Failure = { status: 400, error };
  return new RetouchError(error.code, message, { failure });
}

function place(): ErrorPlace {
  return { parameter: 'inputs.referenceImages', type: 'string', documentation };
}
