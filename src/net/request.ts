/**
 * One request and its redirects. To prevent server-side request forgery the host name is resolved once, every address is
 * checked, the connection goes only to the checked addresses, and each redirect passes the same checks.
 */

import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { type Address, type AddressRules, resolveChecked } from './addresses.ts';
import { netError, short } from './errors.ts';

export type Request = { method: string; headers: Readonly<Record<string, string>>; body?: Uint8Array };

export type RouteLimits = AddressRules & {
  connectMilliseconds: number;
  /** Deadline of each response's headers after the connection is made; absent leaves it to the caller's signal. */
  answerMilliseconds?: number;
  maxRedirects: number;
};

/**
 * Follows all redirects and returns the answer with its body unread; the caller destroys it. `authorization` is sent to
 * the first host only: the storage that a hub redirects to must not get the token.
 *
 * Throws a RetouchError with a code of `netErrors`, the reason of `stop`, and the errors of sockets.
 */
export async function follow(
  url: string,
  request: Request,
  limits: RouteLimits & { stop: AbortSignal },
): Promise<{ response: IncomingMessage; target: URL }> {
  const { authorization: _, ...others } = request.headers;
  let target = parseUrl(url);
  const { origin } = target;
  for (let redirects = 0; ; redirects++) {
    const addresses = await resolveChecked(target, limits, limits.stop);
    const headers = target.origin === origin ? request.headers : others;
    const response = await send(target, { ...request, headers }, { ...limits, addresses });
    const location = redirection(response, request);
    if (location === undefined) return { response, target };
    response.destroy();
    if (redirects >= limits.maxRedirects)
      throw netError('tooManyRedirects', `${short(url)} redirects more than ${limits.maxRedirects} times.`);
    target = parseUrl(location, target);
  }
}

/** The URL of a redirect. For a request with a body only 307 and 308 count: the others would turn it into a GET. */
function redirection({ statusCode = 0, headers }: IncomingMessage, { body }: Request): string | undefined {
  const follows = body ? statusCode === 307 || statusCode === 308 : statusCode >= 300 && statusCode < 400;
  return follows && headers.location !== undefined ? decodeHeader(headers.location) : undefined;
}

/** Node decodes headers as Latin-1, but hosts send raw UTF-8, which browsers accept. */
function decodeHeader(text: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'latin1'));
  } catch {
    return text;
  }
}

function send(
  url: URL,
  { method, headers, body }: Request,
  limits: RouteLimits & { stop: AbortSignal; addresses: Address[] },
): Promise<IncomingMessage> {
  const { addresses, connectMilliseconds, answerMilliseconds, stop } = limits;
  const lookup: LookupFunction = (_hostname, options, done) => {
    if (options.all) done(null, addresses);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  };
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const own = { 'user-agent': 'retouch', ...headers };
    // No pooling: a pooled connection may have been checked by other rules.
    const options = { method, agent: false, lookup, headers: own, signal: stop };
    const request = (secure ? requestHttps : requestHttp)(url, options);
    const fail = (message: string) => request.destroy(netError('fetchTimeout', message));
    let timer = setTimeout(
      () => fail(`${url.host} took no connection within ${connectMilliseconds / 1000} s.`),
      connectMilliseconds,
    );
    request.once('socket', (socket) => {
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer);
        if (answerMilliseconds === undefined) return;
        timer = setTimeout(() => fail(silent(url.href, answerMilliseconds)), answerMilliseconds);
      });
    });
    request.once('close', () => clearTimeout(timer));
    // A receiver may answer and close before it has read the whole body; the answer is used.
    request.on('error', reject);
    request.once('response', (response) => {
      clearTimeout(timer);
      resolve(response);
    });
    request.end(body);
  });
}

export function silent(url: string, milliseconds: number): string {
  return `${short(url)} sent nothing for ${milliseconds / 1000} s.`;
}

/** Percent-encoded URL delimiters at which other parsers end the host: `http://127.0.0.1%2f@example.com`. */
const misleading = /%(2f|5c|23|3f)/i;

/** Throws `urlRefused`. */
export function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  // For http:///x the WHATWG parser takes x as the host.
  if (url === null || /^\s*https?:(?!\/\/[^/\\])/i.test(text))
    throw netError('urlRefused', `${short(text)} is not a URL.`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw netError('urlRefused', `${short(text)} has the scheme ${url.protocol} expected http: or https:.`);
  if (misleading.test(url.username))
    throw netError('urlRefused', `${short(text)} has a user name that looks like a host.`);
  return url;
}
