/**
 * Authentication. A server that only this machine can reach accepts its programs with any key or none until it has keys.
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

/** Requests whose headers were enough to let them in. */
const admitted = new WeakSet<IncomingMessage>();

/** Whether the account of a request is known, before its body is read. */
export function isAdmitted({ raw }: FastifyRequest): boolean {
  return admitted.has(raw);
}

/** Throws API errors. */
export type Gate = {
  /** Whether the page that asks may read the answer; throws nothing. */
  allowsOrigin(request: FastifyRequest): boolean;
  /** Looks at the headers, before the body is read; undefined when the tasks have to name a key. */
  checkRequest(request: FastifyRequest): Account | undefined;
  /** An authentication task as the first of the request names the key. */
  checkTasks(tasks: readonly Parsed[]): Account;
  /** An account that was let in before: its key may have been revoked since, or keys may be asked for now. */
  recheck(account: Account): void;
  /** For addresses that have no tasks. */
  requireKey(request: FastifyRequest): Account;
};

export function createGate(config: Config, keys: Pick<KeyStore, 'digests' | 'noteUse'>): Gate {
  const configured = config.apiKeys.map((key) => ({ id: undefined, digest: digestOf(key) }));
  // Keys are made and revoked while the server runs.
  const known = (): Known[] => [...configured, ...keys.digests()];
  // The last key may be revoked: that opens nothing to other machines.
  const isOpen = () => isLoopback(config.host) && known().length === 0;

  const check = (key: string): Account => {
    const given = digestOf(key);
    // Digests, all of them, so that neither the length nor the time tells anything about a key.
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
    // Where a key is asked for, a page that has one may use it, wherever it was loaded from.
    allowsOrigin: (request) => !isOpen() || isOwnPage(request, config),
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

/** Keys of the configuration have no id. */
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
 * A server without keys trusts this machine, and the browser on it runs the pages of strangers: those may not make it
 * work, directly or under a name that they point here.
 */
function refuseForeignPages(request: FastifyRequest, config: Config): void {
  if (isOwnPage(request, config)) return;
  const { origin = '' } = request.headers;
  const message = `A page of ${origin.slice(0, 100)} asked; without API keys only pages of this machine may.`;
  throw apiError('forbidden', message);
}

/** Programs send no Origin. */
function isOwnPage({ headers: { origin } }: FastifyRequest, { publicUrl }: Config): boolean {
  if (origin === undefined) return true;
  const url = URL.parse(origin);
  return url !== null && (isLoopback(url.hostname) || url.origin === URL.parse(publicUrl)?.origin);
}
