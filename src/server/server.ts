/** The Fastify server: its plugins, its limits, and one shape for every error. */

import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream/promises';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { type Failure, failure, failureOf } from '../api/errors.ts';
import type { Config } from '../config.ts';
import { RetouchError } from '../error.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Queue } from '../queue/queue.ts';
import type { AssetStore } from '../store/assets.ts';
import type { KeyStore } from '../store/keys.ts';
import type { ModelStore } from '../store/models.ts';
import type { Sources } from '../tasks/inputs/image-source.ts';
import type { ImageEngine } from '../tasks/run/make-image.ts';
import type { TaskService } from '../tasks/service.ts';
import { answer } from './answer.ts';
import { createGate } from './auth.ts';
import type { ConnectionTimes } from './connection.ts';
import { discovery } from './discovery.ts';
import { files } from './files.ts';
import { health } from './health.ts';
import { http } from './http.ts';
import { openai } from './openai.ts';
import { playground } from './playground.ts';
import { websocket } from './websocket.ts';

export const serverErrors = {
  listenFailed: 'The server cannot listen on its address and port.',
} as const;

export type ServerErrorCode = keyof typeof serverErrors;

export type ServerParts = {
  config: Config;
  service: TaskService;
  assets: AssetStore;
  models: ModelStore;
  sources: Sources;
  keys: KeyStore;
  metrics: Metrics;
  engine: ImageEngine;
  queue: Pick<Queue, 'depth'>;
  log: Log;
  /** Of WebSocket connections; the protocol's by default. */
  times?: ConnectionTimes;
};

/** Milliseconds for which a request that is refused already may go on sending. */
const refusedBodyTime = 5_000;

/** Not listening yet. */
export function createServer({
  config,
  service,
  assets,
  models,
  sources,
  keys,
  metrics,
  engine,
  queue,
  log,
  times,
}: ServerParts): FastifyInstance {
  const server = fastify({
    bodyLimit: config.bodyLimit,
    // For receiving a request; a slow sender must not hold a connection for ever.
    requestTimeout: 300_000,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
    frameworkErrors: (error, _request, reply) => {
      answer(reply, [{ failure: failure('routeNotFound', `The address cannot be read: ${error.message}.`) }]);
    },
  });
  // The body is parsed by the API, whatever a client calls it.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  server.setErrorHandler(async (error, request, reply) => {
    await readToEnd(request.raw);
    const { answerFailure } = request.routeOptions.config;
    const known = toFailure(error, config, log);
    return answerFailure ? answerFailure(reply, known) : answer(reply, [{ failure: known }]);
  });
  server.setNotFoundHandler((request, reply) => {
    const message = `Nothing is served at ${request.method} ${request.url.slice(0, 100)}; tasks go to POST /v1.`;
    return answer(reply, [{ failure: failure('routeNotFound', message) }]);
  });
  // A connection kept alive would keep the closing server alive, for as long as its client likes.
  let closing = false;
  server.addHook('preClose', async () => {
    closing = true;
  });
  server.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
    if (reply.statusCode === 429 || reply.statusCode === 503) reply.header('retry-after', service.retryAfter);
  });
  server.addHook('onResponse', async (request, reply) => logRequest(log, request.method, request.url, reply));
  const gate = createGate(config, keys);
  server.register(playground, { models });
  server.register(websocket, { service, config, gate, log, ...(times && { times }) });
  server.register(http, { service, config, gate });
  server.register(openai, { service, config, gate, models, sources });
  server.register(files, { assets });
  server.register(discovery, { models, maxTasks: config.batchLimit });
  server.register(health, { config, engine, queue, models, metrics, gate });
  return server;
}

/** The address it listens on. Throws `listenFailed`. */
export async function listen(server: FastifyInstance, { host, port }: Config): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'another program listens there' : (code ?? message);
    const text = `Listening on ${host}, port ${port}, failed: ${reason}.`;
    throw new RetouchError('listenFailed' satisfies ServerErrorCode, text, {}, { cause: error });
  }
}

/**
 * Reads on and forgets what a refused request still sends, for a while: a connection that is closed with unread data is
 * reset, and the answer may be lost with it.
 */
async function readToEnd(request: IncomingMessage): Promise<void> {
  if (request.complete) return;
  request.resume();
  await finished(request, { signal: AbortSignal.timeout(refusedBodyTime) }).catch(() => {});
}

function toFailure(error: unknown, config: Config, log: Log): Failure {
  const known = failureOf(error);
  if (known) return known;
  const {
    code = '',
    statusCode = 500,
    message,
  } = error as { code?: string; statusCode?: number; message: string };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return failure('valueTooLarge', `The body of the request is larger than ${config.bodyLimit} bytes.`);
  }
  if (statusCode >= 400 && statusCode < 500)
    return { status: statusCode, error: { code: 'invalidBody', message } };
  log.error('A request failed because of a bug.', { error });
  return failure('internalServerError', 'The server failed in a way it should not; its log has the details.');
}

function logRequest(log: Log, method: string, url: string, reply: FastifyReply): void {
  const path = url.split('?', 1)[0]!.slice(0, 100);
  // Asked every few seconds by whoever watches the server.
  const write = ['/health', '/ready', '/metrics'].includes(path) ? log.debug : log.info;
  write(`${method} ${path}`, { status: reply.statusCode, milliseconds: Math.round(reply.elapsedTime) });
}
