/** The body of a request: its bytes, decompressed, under the limits. */

import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { apiError } from '../api/errors.ts';
import type { Holding } from './bodies.ts';

/** Bytes per chunk of a decoder: many small chunks cost more than the decoding. */
const options = { chunkSize: 64 * 2 ** 10 };

const decoders: Readonly<Record<string, (() => Readable & NodeJS.WritableStream) | undefined>> = {
  gzip: () => createGunzip(options),
  'x-gzip': () => createGunzip(options),
  deflate: () => createInflate(options),
  br: () => createBrotliDecompress(options),
};

/** Throws `valueTooLarge`, `serverUnavailable`, `unsupportedContentEncoding` and `invalidBody`. */
export function readBody(request: IncomingMessage, holding: Holding): Promise<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || encoding === '') {
    holding.expect(Number(request.headers['content-length'] ?? 0));
    return collect(request, request, holding);
  }
  const create = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined;
  if (!create) {
    const found = `Content-Encoding '${encoding.slice(0, 60)}'`;
    const message = `The body of the request has the ${found}; expected one of identity, ${Object.keys(decoders).join(', ')}.`;
    throw apiError('unsupportedContentEncoding', message);
  }
  return collect(request, request.pipe(create()), holding);
}

/** `stream` is the request or its decoder. Uses events, since async iteration costs a small request a third more. */
function collect(request: IncomingMessage, stream: Readable, holding: Holding): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  const fail = (error: unknown) => {
    if (stream !== request) request.unpipe();
    stream.removeAllListeners('data');
    if (stream !== request) stream.destroy();
    chunks.length = 0;
    holding.release();
    reject(error);
  };
  stream.on('data', (chunk: Buffer) => {
    try {
      holding.add(chunk.length);
      chunks.push(chunk);
    } catch (error) {
      fail(error);
    }
  });
  stream.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
  stream.on('error', (error) => {
    if (stream === request) return;
    const message = `The body of the request cannot be decompressed as its Content-Encoding says: ${error.message}.`;
    fail(apiError('invalidBody', message));
  });
  request.once('close', () => {
    // The client has disconnected; a complete request has resolved before.
    if (!request.complete) fail(apiError('invalidBody', 'The connection broke while the body was received.'));
  });
  request.on('error', () => {});
  return promise;
}
