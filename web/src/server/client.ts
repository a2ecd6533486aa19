/** Requests to the server over HTTP. */

import { type Envelope, type Item, readEnvelope, stringifyWire, type Task, type WireError } from './wire.ts';

/** No answer, or an answer that is not Retouch's. */
export class Unreachable extends Error {}

/** The server answered with errors. */
export class Refused extends Error {
  readonly errors: readonly WireError[];
  constructor(errors: readonly WireError[]) {
    super(errors.map(({ message }) => message).join(' '));
    this.errors = errors;
  }
}

/** `?server=https://…` names the server of a page that is served from elsewhere. */
export const serverOrigin = new URL(new URLSearchParams(location.search).get('server') ?? location.origin)
  .origin;

/** A browser does not distinguish, for a page, an unreachable server from one whose CORS excludes the page's origin. */
export const noAnswer =
  serverOrigin === location.origin
    ? 'The server does not answer.'
    : `${serverOrigin} does not answer pages of ${location.origin}: it is away, or has no API keys; without keys a server answers pages of its own machine only.`;

const keyName = `retouch-key ${serverOrigin}`;

/** The API key, in local storage; it is sent to that server only. */
export const apiKey = {
  get: () => localStorage.getItem(keyName) ?? undefined,
  set: (key: string) => localStorage.setItem(keyName, key),
  forget: () => localStorage.removeItem(keyName),
};

export function newUuid(): string {
  // crypto.randomUUID is missing on pages over plain HTTP from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Throws Unreachable. */
export async function post(task: Task): Promise<Envelope> {
  const key = apiKey.get();
  const response = await request('/v1', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
    body: stringifyWire([{ taskUUID: newUuid(), ...task }]),
  });
  try {
    return readEnvelope(await response.text());
  } catch {
    throw new Unreachable(`The server answered ${response.status} with something that is not JSON.`);
  }
}

/** The only item of an answer. Throws Unreachable and Refused. */
export async function ask(task: Task): Promise<Item> {
  const { data, errors } = await post(task);
  if (errors.length > 0 || !data[0]) throw new Refused(errors);
  return data[0];
}

/** A document of the server. Throws Unreachable. */
export async function get<T>(path: string): Promise<T> {
  const response = await request(path);
  if (!response.ok) throw new Unreachable(`${path} answered ${response.status}.`);
  return (await response.json()) as T;
}

/** An image of the server by the path of its URL, whatever host the URL has; undefined when it has expired. */
export async function getImage(url: string): Promise<Blob | undefined> {
  const path = new URL(url).pathname.replace(/^.*(\/(?:images|models)\/)/, '$1');
  const response = await request(path);
  return response.ok ? response.blob() : undefined;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(serverOrigin + path, init);
  } catch {
    throw new Unreachable(noAnswer);
  }
}
