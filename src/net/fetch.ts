/** Every request to another machine goes through this file. */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { RetouchError } from '../error.ts';
import { resolveChecked } from './addresses.ts';
import { readBody } from './body.ts';
import { netError, short } from './errors.ts';
import { follow, parseUrl, type Request, type RouteLimits, silent } from './request.ts';

export type SendLimits = Omit<RouteLimits, 'answerMilliseconds'> & {
  /** Deadline of the whole exchange, redirects included. */
  totalMilliseconds: number;
};

export type FetchLimits = SendLimits & { maxBytes: number };

export type Fetched = { bytes: Uint8Array; contentType: string | undefined };

/** The body of a GET, decompressed. Throws a RetouchError with a code of `netErrors`. */
export async function fetchUrl(url: string, limits: FetchLimits, signal?: AbortSignal): Promise<Fetched> {
  const headers = { accept: 'image/*,*/*;q=0.5', 'accept-encoding': 'identity' };
  const request = { method: 'GET', headers };
  return exchange(url, { request, limits, signal }, async (response, target) => {
    checkStatus(response, target);
    const bytes = await readBody(response, target, limits.maxBytes);
    return { bytes, contentType: response.headers['content-type'] };
  });
}

export type Sending = { method: 'POST' | 'PUT'; headers: Readonly<Record<string, string>>; body: Uint8Array };

/**
 * Sends a body and expects a 2xx; the body of the answer is not read. Redirects are followed where they keep method and
 * body (307, 308). Throws a RetouchError with a code of `netErrors`.
 */
export async function sendTo(
  url: string,
  { method, headers, body }: Sending,
  { signal, ...limits }: SendLimits & { signal?: AbortSignal },
): Promise<void> {
  const request = { method, body, headers: { ...headers, 'content-length': String(body.length) } };
  return exchange(url, { request, limits, signal }, async (response, target) =>
    checkStatus(response, target),
  );
}

export type Exchanged = { status: number; headers: IncomingHttpHeaders; bytes: Uint8Array };

/** Any request and its answer of any status. Throws a RetouchError with a code of `netErrors`. */
export async function exchangeWith(
  url: string,
  request: Request,
  { signal, ...limits }: FetchLimits & { signal?: AbortSignal | undefined },
): Promise<Exchanged> {
  return exchange(url, { request, limits, signal }, async (response, target) => ({
    status: response.statusCode ?? 0,
    headers: response.headers,
    bytes: await readBody(response, target, limits.maxBytes),
  }));
}

/**
 * Checks a URL before anything is sent to it, so that a client gets the error at once. A host that does not resolve
 * passes, because it may resolve later. Throws `addressRefused`, `urlRefused`.
 */
export async function checkUrl(url: string, limits: SendLimits): Promise<void> {
  const target = parseUrl(url);
  try {
    await resolveChecked(target, limits, AbortSignal.timeout(limits.connectMilliseconds));
  } catch (error) {
    if (error instanceof RetouchError && error.code === 'addressRefused') throw error;
  }
}

type Exchange = { request: Request; limits: SendLimits; signal: AbortSignal | undefined };

async function exchange<Answer>(
  url: string,
  { request, limits, signal }: Exchange,
  read: (response: IncomingMessage, target: URL) => Promise<Answer>,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(limits.totalMilliseconds);
  const stop = AbortSignal.any([timeout, ...(signal ? [signal] : [])]);
  try {
    const { response, target } = await follow(url, request, { ...limits, stop });
    // Leaving early must not leave the socket open.
    using _closing = { [Symbol.dispose]: () => response.destroy() };
    return await read(response, target);
  } catch (error) {
    if (signal?.aborted || !timeout.aborted) throw explain(url, error, signal);
    const seconds = limits.totalMilliseconds / 1000;
    throw netError('fetchTimeout', `${short(url)} did not answer completely within ${seconds} s.`);
  }
}

function checkStatus({ statusCode = 0, headers }: IncomingMessage, url: URL): void {
  if (statusCode >= 200 && statusCode <= 299) return;
  const message = `${short(url.href)} answered with HTTP status ${statusCode}; expected 200.`;
  const details = { status: statusCode, retryAfter: headers['retry-after'] };
  throw netError('statusRefused', message, { details });
}

/** A streamed response of any status and size. */
export type Stream = {
  status: number;
  headers: IncomingHttpHeaders;
  body: AsyncIterable<Uint8Array>;
  /** Closes the connection, whether or not the body was read. */
  close(): void;
};

export type StreamLimits = Omit<RouteLimits, 'answerMilliseconds'> & {
  /** Longest silence of the host, before or during the answer. */
  idleMilliseconds: number;
};

/**
 * A GET whose body may be larger than memory, followed through redirects. Throws a RetouchError with a code of
 * `netErrors`, and so does reading the body.
 */
export async function openUrl(
  url: string,
  headers: Readonly<Record<string, string>>,
  { signal, ...limits }: StreamLimits & { signal: AbortSignal },
): Promise<Stream> {
  const { idleMilliseconds } = limits;
  const request = { method: 'GET', headers: { ...headers, 'accept-encoding': 'identity' } };
  try {
    const route = { ...limits, answerMilliseconds: idleMilliseconds, stop: signal };
    const { response } = await follow(url, request, route);
    response.setTimeout(idleMilliseconds, () =>
      response.destroy(netError('fetchTimeout', silent(url, idleMilliseconds))),
    );
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: readPieces(response, (error) => explain(url, error, signal)),
      close: () => response.destroy(),
    };
  } catch (error) {
    throw explain(url, error, signal);
  }
}

async function* readPieces(
  response: IncomingMessage,
  explain: (error: unknown) => RetouchError,
): AsyncGenerator<Uint8Array> {
  try {
    yield* response as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw explain(error);
  }
}

function explain(url: string, error: unknown, signal: AbortSignal | undefined): RetouchError {
  if (signal?.aborted) return netError('fetchAborted', `The request to ${short(url)} was stopped.`);
  if (error instanceof RetouchError) return error;
  const reason =
    error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
  return netError('connectFailed', `The connection to ${short(url)} failed: ${reason}.`, { cause: error });
}
