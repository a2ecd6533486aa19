/** Who may use the API. Without configured keys everyone on this machine; their programs may send any key. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import type { Parsed } from '../api/parse.ts';
import { type Config, isLoopback } from '../config.ts';

const place = { parameter: 'apiKey', type: 'string', taskType: 'authentication' };

/** Throws API errors. Who passes `checkRequest` with true need not name a key in the tasks. */
export type Gate = {
  /** Looks at the headers, before the body is read. True when they suffice. */
  checkRequest(request: FastifyRequest): boolean;
  /** An authentication task as the first of the request names the key. */
  checkTasks(tasks: readonly Parsed[]): void;
};

export function createGate(config: Config): Gate {
  const digests = config.apiKeys.map(digest);
  const check = (key: string) => {
    // Digests, all of them, so that neither the length nor the time tells anything about a key.
    const given = digest(key);
    if (digests.reduce((found, known) => timingSafeEqual(known, given) || found, false)) return;
    throw apiError(
      'invalidApiKey',
      'Invalid API key: it is not one of those configured on this server.',
      place,
    );
  };
  return {
    checkRequest(request) {
      refuseForeignPages(request, config);
      const key = bearerKey(request);
      if (digests.length === 0) return true;
      if (key !== undefined) check(key);
      return key !== undefined;
    },
    checkTasks(tasks) {
      const key = taskKey(tasks);
      if (key !== undefined) return check(key);
      const message =
        "Missing API key: expected 'Authorization: Bearer <key>' or an authentication task first.";
      throw apiError('missingApiKey', message, place);
    },
  };
}

function bearerKey(request: FastifyRequest): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1];
}

function taskKey([first]: readonly Parsed[]): string | undefined {
  if (!first || !('task' in first) || first.task.taskType !== 'authentication') return undefined;
  return first.task.apiKey;
}

/**
 * A server without keys trusts this machine, and the browser on it runs the pages of strangers: those may not make it
 * work, directly or under a name that they point here. Programs send no Origin.
 */
function refuseForeignPages(request: FastifyRequest, { apiKeys, publicUrl }: Config): void {
  const { origin } = request.headers;
  if (origin === undefined || apiKeys.length > 0) return;
  const url = URL.parse(origin);
  if (url && (isLoopback(url.hostname) || url.origin === URL.parse(publicUrl)?.origin)) return;
  const message = `A page of ${origin.slice(0, 100)} asked; without API keys only pages of this machine may.`;
  throw apiError('forbidden', message);
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
