/** Reads a response body up to a limit of bytes and decompresses it by its Content-Encoding. */

import type { IncomingMessage } from 'node:http';
import { PassThrough, pipeline, type Readable, type Transform } from 'node:stream';
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib';
import { netError, short } from './errors.ts';

type Decompress = (first: number) => Transform;

/**
 * Decompressors by Content-Encoding. Some hosts compress although the request asks for `identity`, such as storage of
 * compressed objects. An unlisted encoding leaves the body as it is, as in browsers (S3's `aws-chunked`).
 */
const encodings: Readonly<Record<string, Decompress>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  // The standard has a zlib header (RFC 9110, 8.4.1.2), which some servers leave out.
  deflate: (first) => ((first & 0x0f) === 8 ? createInflate() : createInflateRaw()),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
};

/** Throws `fetchTooLarge` as soon as the body, compressed or not, is larger; `encodingInvalid`; and errors of the socket. */
export async function readBody(response: IncomingMessage, url: URL, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = (found: string) =>
    netError('fetchTooLarge', `${short(url.href)} is ${found} bytes large; expected at most ${maxBytes}.`);
  const announced = Number(response.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(String(announced));
  let body: Uint8Array = await collect(response, maxBytes, tooLarge);
  for (const name of encodingsOf(response).toReversed()) {
    if (body.length > 0) body = await decompress(body, { name, url, maxBytes, tooLarge });
  }
  return body;
}

function encodingsOf({ headers }: IncomingMessage): string[] {
  const names = (headers['content-encoding'] ?? '').split(',').map((name) => name.trim().toLowerCase());
  return names.filter((name) => Object.hasOwn(encodings, name));
}

type TooLarge = (found: string) => Error;

async function decompress(
  body: Uint8Array,
  { name, url, maxBytes, tooLarge }: { name: string; url: URL; maxBytes: number; tooLarge: TooLarge },
): Promise<Uint8Array> {
  const source = new PassThrough();
  const stream = pipeline(source, encodings[name]!(body[0]!), () => {});
  source.end(body);
  try {
    return await collect(stream, maxBytes, tooLarge);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!/^Z_|^ERR_|^ZSTD_/.test(code) || code === 'ERR_STREAM_DESTROYED') throw error;
    const message = `${short(url.href)} is not compressed as its host says: Content-Encoding is ${name}.`;
    throw netError('encodingInvalid', message, { cause: error });
  }
}

async function collect(stream: Readable, maxBytes: number, tooLarge: TooLarge): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(`more than ${maxBytes}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
