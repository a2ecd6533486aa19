/** Adapts the server's log to Fastify's interface, so that its warnings are in the same log. */

import type { FastifyBaseLogger } from 'fastify';
import type { Log } from '../log.ts';

/** Fastify's lines about requests and its start become debug, because the server logs both itself. */
export function fastifyLog(log: Log): FastifyBaseLogger {
  const as = (level: 'debug' | 'warn' | 'error') => (first: unknown, second?: unknown) => {
    if (typeof first === 'string') log[level](first);
    else log[level](typeof second === 'string' ? second : 'Fastify reports this.', fieldsOf(first));
  };
  const logger = {
    level: 'info',
    trace: () => {},
    debug: as('debug'),
    info: as('debug'),
    warn: as('warn'),
    error: as('error'),
    fatal: as('error'),
    silent: () => {},
    child: () => logger,
  };
  return logger as unknown as FastifyBaseLogger;
}

/** Requests and replies have hundreds of fields. */
function fieldsOf(value: unknown): Record<string, unknown> {
  if (value instanceof Error) return { error: value };
  const { err: error } = (value ?? {}) as { err?: unknown };
  return error === undefined ? {} : { error };
}
