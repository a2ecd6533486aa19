import { RetouchError } from '../error.ts';

export const netErrors = {
  addressRefused: 'The URL leads to a loopback, private, link-local or reserved address.',
  connectFailed: 'No connection to the host of the URL could be made, or it broke.',
  encodingInvalid: 'The answer is not compressed as its Content-Encoding says.',
  fetchAborted: 'The caller stopped the request.',
  fetchTimeout: 'The host of the URL did not answer in time.',
  fetchTooLarge: 'The answer is larger than the limit.',
  hostNotFound: 'The host name of the URL does not resolve.',
  statusRefused: 'The host answered with an HTTP status other than 2xx.',
  tooManyRedirects: 'The URL redirects more often than the limit.',
  urlRefused: 'The URL cannot be read or is not http or https.',
} as const;

export type NetErrorCode = keyof typeof netErrors;

export function netError(
  code: NetErrorCode,
  message: string,
  { details = {}, ...options }: ErrorOptions & { details?: Record<string, unknown> } = {},
): RetouchError {
  return new RetouchError(code, message, details, options);
}

/** A URL's query may hold a token, which must not appear in messages and logs. */
export function short(url: string): string {
  const plain = url.split(/[?#]/, 1)[0]!.replace(/\/\/[^/@]*@/, '//');
  return plain.length > 100 ? `${plain.slice(0, 100)}…` : plain;
}
