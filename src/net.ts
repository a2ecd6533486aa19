/**
 * The only door for requests to other machines. A server that fetches URLs for strangers must not be talked into
 * reading its own network: the name is resolved once, every address of it is checked, the connection goes to those
 * addresses and no others, and each redirect passes the same checks.
 */

import { lookup as lookupAll } from 'node:dns/promises';
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { RetouchError } from './error.ts';

export const netErrors = {
  addressRefused: 'The URL leads to a loopback, private, link-local or reserved address.',
  connectFailed: 'No connection to the host of the URL could be made, or it broke.',
  fetchAborted: 'The caller stopped the request.',
  fetchTimeout: 'The host of the URL did not answer in time.',
  fetchTooLarge: 'The answer is larger than the limit.',
  hostNotFound: 'The host name of the URL does not resolve.',
  statusRefused: 'The host answered with an HTTP status other than 2xx.',
  tooManyRedirects: 'The URL redirects more often than the limit.',
  urlRefused: 'The URL cannot be read or is not http or https.',
} as const;

export type NetErrorCode = keyof typeof netErrors;

type Address = { address: string; family: number };

export type SendLimits = {
  /** Whether private addresses may be reached: all of them, none, or those of these host names. */
  allowPrivate: boolean | readonly string[];
  /** For everything together, redirects included. */
  totalMilliseconds: number;
  connectMilliseconds: number;
  maxRedirects: number;
  /** Name resolution; tests give their own. */
  resolve?: (hostname: string) => Promise<Address[]>;
};

export type FetchLimits = SendLimits & { maxBytes: number };

export type Fetched = { bytes: Uint8Array; contentType: string | undefined };

/** The body of a GET. Throws a RetouchError with a code of `netErrors`. */
export async function fetchUrl(url: string, limits: FetchLimits, signal?: AbortSignal): Promise<Fetched> {
  const headers = { accept: 'image/*,*/*;q=0.5', 'accept-encoding': 'identity' };
  return exchange(url, { method: 'GET', headers }, limits, signal, async (response, target) => {
    const bytes = await readBody(response, target, limits.maxBytes);
    return { bytes, contentType: response.headers['content-type'] };
  });
}

export type Sending = { method: 'POST' | 'PUT'; headers: Readonly<Record<string, string>>; body: Uint8Array };

/**
 * Sends a body, for which a 2xx is expected; what stands in the answer is nobody's business. Redirects are followed where
 * they keep method and body (307, 308). Throws a RetouchError with a code of `netErrors`.
 */
export async function sendTo(
  url: string,
  { method, headers, body }: Sending,
  limits: SendLimits,
  signal?: AbortSignal,
): Promise<void> {
  const request = { method, body, headers: { ...headers, 'content-length': String(body.length) } };
  return exchange(url, request, limits, signal, async () => {});
}

/**
 * Whether a URL may be used, before anything is sent to it: for telling a client at once. A host that cannot be found now
 * may be found later and passes. Throws `addressRefused`, `urlRefused`.
 */
export async function checkUrl(url: string, limits: SendLimits): Promise<void> {
  const target = parseUrl(url);
  try {
    await resolveChecked(target, limits, AbortSignal.timeout(limits.connectMilliseconds));
  } catch (error) {
    if (error instanceof RetouchError && error.code === 'addressRefused') throw error;
  }
}

type Request = { method: string; headers: Record<string, string>; body?: Uint8Array };

async function exchange<Answer>(
  url: string,
  request: Request,
  limits: SendLimits,
  signal: AbortSignal | undefined,
  read: (response: IncomingMessage, target: URL) => Promise<Answer>,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(limits.totalMilliseconds);
  const stop = AbortSignal.any([timeout, ...(signal ? [signal] : [])]);
  try {
    let target = parseUrl(url);
    for (let redirects = 0; ; redirects++) {
      const addresses = await resolveChecked(target, limits, stop);
      const response = await send(target, request, addresses, limits.connectMilliseconds, stop);
      // Leaving early must not leave the socket open.
      using _closing = { [Symbol.dispose]: () => response.destroy() };
      const location = redirection(response, request);
      if (location === undefined) {
        checkStatus(response, target);
        return await read(response, target);
      }
      if (redirects >= limits.maxRedirects) {
        throw netError('tooManyRedirects', `${short(url)} redirects more than ${limits.maxRedirects} times.`);
      }
      target = parseUrl(location, target);
    }
  } catch (error) {
    if (signal?.aborted) throw netError('fetchAborted', `The request to ${short(url)} was stopped.`);
    if (timeout.aborted) {
      const seconds = limits.totalMilliseconds / 1000;
      throw netError('fetchTimeout', `${short(url)} did not answer completely within ${seconds} s.`);
    }
    throw error instanceof RetouchError ? error : connectError(url, error);
  }
}

/** Where to ask next. The other redirections of a request with a body would make a GET of it. */
function redirection({ statusCode = 0, headers }: IncomingMessage, { body }: Request): string | undefined {
  const follows = body ? statusCode === 307 || statusCode === 308 : statusCode >= 300 && statusCode < 400;
  return follows ? headers.location : undefined;
}

function checkStatus({ statusCode = 0 }: IncomingMessage, url: URL): void {
  if (statusCode >= 200 && statusCode <= 299) return;
  const message = `${short(url.href)} answered with HTTP status ${statusCode}; expected 200.`;
  throw netError('statusRefused', message);
}

/** An answer of any status and size, as it arrives. */
export type Stream = {
  status: number;
  headers: IncomingHttpHeaders;
  body: AsyncIterable<Uint8Array>;
  /** Lets the connection go, whether or not the body was read. */
  close(): void;
};

export type StreamLimits = Pick<
  FetchLimits,
  'allowPrivate' | 'connectMilliseconds' | 'maxRedirects' | 'resolve'
> & {
  /** Longest silence of the host, before the answer or in it. */
  idleMilliseconds: number;
};

/**
 * A GET whose body may be larger than memory. Redirects are followed; `authorization` is for the first host only, as
 * the storage that a hub redirects to must not learn the token. Throws a RetouchError with a code of `netErrors`, and so
 * does reading the body.
 */
export async function openUrl(
  url: string,
  headers: Readonly<Record<string, string>>,
  limits: StreamLimits,
  signal: AbortSignal,
): Promise<Stream> {
  const explain = (error: unknown) => {
    if (signal.aborted) return netError('fetchAborted', `The request to ${short(url)} was stopped.`);
    return error instanceof RetouchError ? error : connectError(url, error);
  };
  try {
    let target = parseUrl(url);
    const { origin } = target;
    for (let redirects = 0; ; redirects++) {
      const addresses = await resolveChecked(target, limits, signal);
      const { authorization, ...others } = headers;
      const own = authorization !== undefined && target.origin === origin ? headers : others;
      const response = await answerTo(target, addresses, limits, signal, own);
      const { statusCode: status = 0, headers: answered } = response;
      response.setTimeout(limits.idleMilliseconds, () => response.destroy(silent(url, limits)));
      if (status >= 300 && status < 400 && answered.location !== undefined) {
        response.destroy();
        if (redirects >= limits.maxRedirects)
          throw netError(
            'tooManyRedirects',
            `${short(url)} redirects more than ${limits.maxRedirects} times.`,
          );
        target = parseUrl(answered.location, target);
        continue;
      }
      return {
        status,
        headers: answered,
        body: readPieces(response, explain),
        close: () => response.destroy(),
      };
    }
  } catch (error) {
    throw explain(error);
  }
}

/** The answer's first line, for which the host has as long as for any silence. */
async function answerTo(
  url: URL,
  addresses: Address[],
  limits: StreamLimits,
  signal: AbortSignal,
  asked: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const late = new AbortController();
  const { connectMilliseconds, idleMilliseconds } = limits;
  const timer = setTimeout(() => late.abort(), connectMilliseconds + idleMilliseconds);
  try {
    const request = { method: 'GET', headers: { ...asked, 'accept-encoding': 'identity' } };
    return await send(url, request, addresses, connectMilliseconds, AbortSignal.any([signal, late.signal]));
  } catch (error) {
    throw late.signal.aborted && !signal.aborted ? silent(url.href, limits) : error;
  } finally {
    clearTimeout(timer);
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

function silent(url: string, { idleMilliseconds }: StreamLimits): RetouchError {
  return netError('fetchTimeout', `${short(url)} sent nothing for ${idleMilliseconds / 1000} s.`);
}

function send(
  url: URL,
  { method, headers, body }: Request,
  addresses: Address[],
  connectMilliseconds: number,
  stop: AbortSignal,
): Promise<IncomingMessage> {
  const lookup: LookupFunction = (_hostname, options, done) => {
    if (options.all) done(null, addresses);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  };
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const own = { 'user-agent': 'retouch', ...headers };
    // A connection of its own: a pooled one may have been made under other rules.
    const request = send(url, { method, agent: false, lookup, headers: own, signal: stop });
    const timer = setTimeout(() => {
      request.destroy(
        netError('fetchTimeout', `${url.host} took no connection within ${connectMilliseconds / 1000} s.`),
      );
    }, connectMilliseconds);
    request.once('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(timer));
    });
    request.once('close', () => clearTimeout(timer));
    // A receiver may answer and leave before it has read everything; the answer counts.
    request.on('error', reject);
    request.once('response', resolve);
    request.end(body);
  });
}

async function readBody(response: IncomingMessage, url: URL, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = (found: string) =>
    netError('fetchTooLarge', `${short(url.href)} is ${found} bytes large; expected at most ${maxBytes}.`);
  const announced = Number(response.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge(String(announced));
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(`more than ${maxBytes}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function resolveChecked(
  url: URL,
  limits: Pick<FetchLimits, 'allowPrivate' | 'resolve'>,
  stop: AbortSignal,
): Promise<Address[]> {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const addresses = await addressesOf(hostname, limits, stop);
  const { allowPrivate } = limits;
  const allowed =
    typeof allowPrivate === 'boolean' ? allowPrivate : allowPrivate.includes(hostname.toLowerCase());
  if (allowed || addresses.every(({ address }) => isPublicAddress(address))) return addresses;
  const message = `${short(url.href)} leads to a loopback, private or reserved address, which this server does not talk to.`;
  throw netError('addressRefused', `${message} RETOUCH_ALLOW_PRIVATE_NETWORK=${hostname} allows it.`);
}

async function addressesOf(
  hostname: string,
  limits: Pick<FetchLimits, 'resolve'>,
  stop: AbortSignal,
): Promise<Address[]> {
  const family = isIP(hostname);
  if (family !== 0) return [{ address: hostname, family }];
  const resolve = limits.resolve ?? ((name: string) => lookupAll(name, { all: true }));
  try {
    const addresses = await orAborted(resolve(hostname), stop);
    if (addresses.length > 0) return addresses;
  } catch (error) {
    stop.throwIfAborted();
    throw netError('hostNotFound', `The host ${hostname} cannot be found.`, { cause: error });
  }
  throw netError('hostNotFound', `The host ${hostname} has no address.`);
}

/** A name server may be silent, and a lookup cannot be stopped. */
function orAborted<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abandon = () => reject(stop.reason);
    if (stop.aborted) abandon();
    stop.addEventListener('abort', abandon, { once: true });
    work.then(resolve, reject).finally(() => stop.removeEventListener('abort', abandon));
  });
}

/** IANA's special-purpose IPv4 ranges and multicast. */
const reserved4 = blockList('ipv4', [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
]);

/** Everything outside 2000::/3 is special (mapped IPv4, NAT64, ULA, link-local, multicast); these are inside. */
const global6 = blockList('ipv6', [['2000::', 3]]);
const reserved6 = blockList('ipv6', [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]);

export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !reserved4.check(address, 'ipv4');
  return family === 6 && global6.check(address, 'ipv6') && !reserved6.check(address, 'ipv6');
}

function blockList(family: 'ipv4' | 'ipv6', ranges: [network: string, prefix: number][]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, family);
  return list;
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw netError('urlRefused', `${short(text)} is not a URL.`);
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw netError('urlRefused', `${short(text)} has the scheme ${url.protocol} expected http: or https:.`);
}

function connectError(url: string, error: unknown): RetouchError {
  const reason =
    error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
  return netError('connectFailed', `The connection to ${short(url)} failed: ${reason}.`, { cause: error });
}

function netError(code: NetErrorCode, message: string, options?: ErrorOptions): RetouchError {
  return new RetouchError(code, message, {}, options);
}

/** URLs may carry tokens in their query, which belong in no message or log. */
function short(url: string): string {
  const plain = url.split(/[?#]/, 1)[0]!.replace(/\/\/[^/@]*@/, '//');
  return plain.length > 100 ? `${plain.slice(0, 100)}…` : plain;
}
