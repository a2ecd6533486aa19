/**
 * Authentication. Until it has keys, a server that listens on this machine only accepts every local program, with any
 * key or none.
 */

import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import type { Parsed } from '../api/parse.ts';
import { type Config, isLoopback } from '../config.ts';
import { digestOf, type KeyStore } from '../store/keys.ts';

const place = { parameter: 'apiKey', type: 'string', taskType: 'authentication' };

/** The owner of tasks and results: one account per key, or one shared account when the server has no keys. */
export type Account = string;

const everyone: Account = 'everyone';

/** Requests that were authenticated by their headers. */
const admitted = new WeakSet<IncomingMessage>();

/** Whether a request was authenticated before its body is read. */
export function isAdmitted({ raw }: FastifyRequest): boolean {
  return admitted.has(raw);
}

/** Throws API errors. */
export type Gate = {
  /** Whether the page of the request may read the answer (CORS). Never throws. */
  allowsOrigin(request: FastifyRequest): boolean;
  /** Authenticates by the headers, before the body is read; undefined when the first task must name a key. */
  checkRequest(request: FastifyRequest): Account | undefined;
  /** Authenticates by the authentication task at the start of the request. */
  checkTasks(tasks: readonly Parsed[]): Account;
  /** Checks an account again: its key may have been revoked since, or the server may have got its first key. */
  recheck(account: Account): void;
  /** Authenticates requests of addresses without tasks. */
  requireKey(request: FastifyRequest): Account;
};

export function createGate(config: Config, keys: Pick<KeyStore, 'digests' | 'noteUse'>): Gate {
  const configured = config.apiKeys.map((key) => ({ id: undefined, digest: digestOf(key) }));
  // Keys are made and revoked while the server runs.
  const known = (): Known[] => [...configured, ...keys.digests()];
  // Revoking the last key must not open the server to other machines.
  const isOpen = () => isLoopback(config.host) && known().length === 0;

  const check = (key: string): Account => {
    const given = digestOf(key);
    // Compares digests, and all of them, so that neither length nor time reveals anything about a key.
    let found: Known | undefined;
    for (const entry of known()) if (timingSafeEqual(entry.digest, given)) found = entry;
    if (!found) {
      const message = 'Invalid API key: it is not one of those configured on this server.';
      throw apiError('invalidApiKey', message, place);
    }
    if (found.id !== undefined) keys.noteUse(found.id);
    return accountOf(found);
  };

  const checkRequest: Gate['checkRequest'] = (request) => {
    const open = isOpen();
    if (open) refuseForeignPages(request, config);
    const key = headerKey(request);
    if (!open && key === undefined) return undefined;
    const account = open ? everyone : check(key!);
    admitted.add(request.raw);
    return account;
  };

  return {
    // On a server with keys a page of any origin may use its key. Clients that are no browser need not read the keys twice.
    allowsOrigin: (request) => isOwnPage(request, config) || !isOpen(),
    checkRequest,
    checkTasks(tasks) {
      const key = taskKey(tasks);
      if (key !== undefined) return check(key);
      throw missingKey("expected 'Authorization: Bearer <key>' or an authentication task first");
    },
    recheck(account) {
      if (account === everyone) {
        if (!isOpen()) throw missingKey('expected an authentication task; the server has keys now');
      } else if (!known().some((key) => accountOf(key) === account)) {
        throw apiError('invalidApiKey', 'Invalid API key: it was taken before and has been revoked.', place);
      }
    },
    requireKey(request) {
      const account = checkRequest(request);
      if (account !== undefined) return account;
      throw missingKey("expected 'Authorization: Bearer <key>'");
    },
  };
}

type Known = { id: string | undefined; digest: Uint8Array };

/** The account of a key; keys of the configuration have no id. */
function accountOf({ id, digest }: Known): Account {
  return id ?? Buffer.from(digest).toString('hex', 0, 16);
}

function missingKey(expected: string) {
  return apiError('missingApiKey', `Missing API key: ${expected}.`, place);
}

/** `Authorization: Bearer`, or the header `api-key` of clients made for Azure. */
function headerKey({ headers }: FastifyRequest): string | undefined {
  const { authorization = '', 'api-key': key } = headers;
  return /^Bearer\s+(\S+)\s*$/i.exec(authorization)?.[1] ?? (typeof key === 'string' ? key : undefined);
}

function taskKey([first]: readonly Parsed[]): string | undefined {
  if (!first || !('task' in first) || first.task.taskType !== 'authentication') return undefined;
  return first.task.apiKey;
}

/**
 * A server without keys trusts this machine, but its browser runs pages of strangers. Refuses their requests, also
 * those to a foreign host name that resolves to this machine (DNS rebinding).
 */
function refuseForeignPages(request: FastifyRequest, config: Config): void {
  if (isOwnPage(request, config)) return;
  const { origin = '' } = request.headers;
  const message = `A page of ${origin.slice(0, 100)} asked; without API keys only pages of this machine may.`;
  throw apiError('forbidden', message);
}

/** Only browsers send Origin. */
function isOwnPage({ headers: { origin } }: FastifyRequest, { publicUrl }: Config): boolean {
  if (origin === undefined) return true;
  const url = URL.parse(origin);
  return url !== null && (isLoopback(url.hostname) || url.origin === URL.parse(publicUrl)?.origin);
}
