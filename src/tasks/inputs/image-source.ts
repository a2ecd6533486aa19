/** The bytes of an image that a parameter names: by a UUID of the store, a URL, a data URI or base64. */

import { apiError, type ErrorPlace, type Failure } from '../../api/errors.ts';
import { codeOf, isUuid } from '../../api/validate.ts';
import type { DecodeOptions, ImageDecoder } from '../../engine/image/decoder.ts';
import { sniffUpload } from '../../engine/image/signatures.ts';
import { RetouchError } from '../../error.ts';
import type { NetErrorCode } from '../../net/errors.ts';
import { type FetchLimits, fetchUrl } from '../../net/fetch.ts';
import type { AssetStore } from '../../store/assets.ts';

export type Sources = {
  assets: AssetStore;
  fetch: Omit<FetchLimits, 'maxBytes'>;
  decoder: Pick<ImageDecoder, 'check' | 'prepareMask' | 'prepareUpload'>;
  /** Bytes of one encoded image; 32 MiB by default. */
  maxImageBytes?: number;
  /** Most bytes of stored images of one account; undefined is no limit. */
  quota?: number;
  /** Width × height of one image; the engine's limit by default. */
  maxPixels?: number;
};

/** The account whose stored images may be read, and the signal that stops the fetch. */
export type Requester = { account: string; signal: AbortSignal };

/** The parameter that names the image; `where` has its index as well. */
export type Place = { parameter: string; where: string; documentation?: string };

export function decodeOptions({ maxPixels }: Sources, { account }: { account: string }): DecodeOptions {
  return { owner: account, pixelLimit: maxPixels };
}

const defaultMaxBytes = 32 * 2 ** 20;

/** Throws API errors, and the errors of the network that are not the request's fault. */
export async function readImage(
  { text: given, place }: { text: string; place: Place },
  sources: Sources,
  { account, signal }: Requester,
): Promise<Uint8Array> {
  const maxBytes = sources.maxImageBytes ?? defaultMaxBytes;
  // Like the WHATWG parsers of URLs and data URIs.
  const text = given.trim();
  if (isUuid(text)) return readAsset(text, place, sources, account);
  if (/^data:/i.test(text)) return decodeDataUri(text, place, maxBytes);
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return download(text, place, { ...sources.fetch, maxBytes }, signal);
  return decodeBase64(text, place, maxBytes);
}

export function invalidImage(place: Place, found: string): RetouchError {
  const message = `Invalid value for '${place.where}': ${found}`;
  const code = codeOf('invalid', place.parameter.split('.'));
  const failure: Failure = { status: 400, error: { code, message, ...facts(place) } };
  return new RetouchError(code, message, { failure });
}

/** Another account's image is reported as not found. */
async function readAsset(
  uuid: string,
  place: Place,
  { assets }: Sources,
  account: string,
): Promise<Uint8Array> {
  const asset = await assets.get(uuid);
  if (asset && (asset.account ?? account) === account) return asset.bytes;
  const message = `'${place.where}' is the UUID ${uuid}, and no stored picture of yours has it.`;
  throw apiError('mediaNotFound', message, facts(place));
}

async function download(
  url: string,
  place: Place,
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    const { bytes } = await fetchUrl(url, limits, signal);
    return bytes;
  } catch (error) {
    if (!(error instanceof RetouchError) || error.code === 'fetchAborted') throw error;
    // Permanent faults of the request. Other errors may be temporary, and clients may retry.
    const permanent: string[] = ['addressRefused', 'fetchTooLarge', 'urlRefused'] satisfies NetErrorCode[];
    if (permanent.includes(error.code)) throw invalidImage(place, error.message);
    throw apiError('downloadFailed', `Invalid value for '${place.where}': ${error.message}`, facts(place));
  }
}

function decodeDataUri(text: string, place: Place, maxBytes: number): Uint8Array {
  const comma = text.indexOf(',');
  const header = text.slice(0, comma < 0 ? 60 : comma);
  if (comma >= 0 && /;\s*base64\s*$/i.test(header))
    return decodeBase64(percentDecode(text.slice(comma + 1)), place, maxBytes);
  throw invalidImage(place, `found a data URI '${header.slice(0, 60)}', expected data:<type>;base64,<data>.`);
}

/** Base64 in a URI may have its `+`, `/` and `=` percent-encoded (RFC 2397). Other percent signs stay unchanged. */
function percentDecode(text: string): string {
  return text.includes('%')
    ? text.replace(/%([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
    : text;
}

function decodeBase64(text: string, place: Place, maxBytes: number): Uint8Array {
  // Mail and shells wrap lines and indent them.
  const characters = /\s/.test(text) ? text.replace(/\s+/g, '') : text;
  const digits = characters.replace(/={1,2}$/, '');
  // A sentence without its spaces is valid base64, but not of an image.
  const isSentence =
    characters !== text && sniffUpload(Buffer.from(digits.slice(0, 24), 'base64')) === undefined;
  if (digits === '' || isSentence || /[^A-Za-z0-9+/_-]/.test(digits)) {
    const found = text.length > 60 ? `${text.slice(0, 60)}…` : text;
    const expected =
      'expected the UUID of a stored picture, an http(s) URL, a data URI or base64 of a picture';
    throw invalidImage(place, `found '${found}', ${expected}.`);
  }
  const size = Math.floor((digits.length * 3) / 4);
  if (size > maxBytes) {
    throw invalidImage(place, `found a picture of ${size} bytes, expected at most ${maxBytes}.`);
  }
  return Buffer.from(characters, 'base64');
}

function facts({ parameter, documentation }: Place): ErrorPlace {
  return { parameter, type: 'string', ...(documentation === undefined ? {} : { documentation }) };
}
