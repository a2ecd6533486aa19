/** One shape for every error of a handler, of Fastify, or of Node's HTTP parser. */

import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { apiError, type Failure, failure, failureOf } from '../api/errors.ts';
import { stringifyJson } from '../api/json.ts';
import { toEnvelope } from '../api/results.ts';
import type { Log } from '../log.ts';

/** Milliseconds for which a refused request may continue to send. */
const refusedBodyTime = 5_000;
/** Milliseconds that a client has to read why its connection is closed. */
const lastWordsTime = 1_000;

export function toFailure(error: unknown, log: Log): Failure {
  const known = failureOf(error);
  if (known) return known;
  const { statusCode = 500, message } = error as { statusCode?: number; message: string };
  if (statusCode >= 400 && statusCode < 500)
    return { status: statusCode, error: { code: 'invalidBody', message } };
  log.error('A request failed because of a bug.', { error });
  return failure('internalServerError', 'The server failed in a way it should not; its log has the details.');
}

/** The task API takes only JSON; `found` is the media type of the form. */
export function refuseForm(request: FastifyRequest): void {
  const type = request.headers['content-type'] ?? '';
  if (!/^multipart\//i.test(type)) return;
  const message =
    'The body of the request is multipart/form-data; expected a JSON array of tasks, with pictures as URLs, data URIs or base64 text.';
  throw apiError('unsupportedContentType', message);
}

/**
 * Reads and discards the rest of a refused request for a limited time: closing a connection with unread data resets it, and
 * the client may lose the answer.
 */
export async function readToEnd(request: IncomingMessage): Promise<void> {
  if (request.complete) return;
  request.resume();
  await finished(request, { signal: AbortSignal.timeout(refusedBodyTime) }).catch(() => {});
}

/**
 * Closes the socket after Fastify answers an upgrade request: Node has detached its parser from that socket, so nothing
 * else reads or closes it.
 */
export function closeUpgrade({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.headers.upgrade === undefined) return;
  reply.header('connection', 'close');
  reply.raw.once('finish', () => raw.socket.destroySoon());
}

/** Answers bytes that are not valid HTTP on the raw socket, and closes the connection. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, body } = toEnvelope([{ failure: unreadable(error) }]);
  const text = stringifyJson(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`);
  // Unread data would make the system reset the connection, and the answer may be lost with it.
  socket.resume();
  setTimeout(() => socket.destroy(), lastWordsTime).unref();
}

function unreadable({ code, message }: NodeJS.ErrnoException): Failure {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return failure('headersTooLarge', 'The headers of the request are larger than 16 KB.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return failure('requestTimeout', 'The request did not arrive whole in the time that it may take.');
    default:
      return failure('invalidRequest', `The request is not HTTP: ${message.replace(/^Parse Error: /, '')}.`);
  }
}
