/** The Fastify server: its plugins, its limits, and one shape for every error. */

import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { apiError, failure } from '../api/errors.ts';
import type { Config } from '../config.ts';
import type { EnginePool } from '../engine/engine.ts';
import { RetouchError } from '../error.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Queue } from '../queue/queue.ts';
import type { AssetStore } from '../store/assets.ts';
import type { KeyStore } from '../store/keys.ts';
import type { ModelStore } from '../store/models.ts';
import type { StorageProbe } from '../store/storage-probe.ts';
import type { Sources } from '../tasks/inputs/image-source.ts';
import type { TaskService } from '../tasks/service.ts';
import { Acceptors, acceptorOptions, requireFreePort } from './acceptors.ts';
import { Addresses, normalize, pathOf } from './addresses.ts';
import { answer, whenAnswered } from './answer.ts';
import { createGate, isAdmitted } from './auth.ts';
import { Bodies, type Holding } from './bodies.ts';
import { readBody } from './body.ts';
import type { ConnectionTimes } from './connection.ts';
import { Connections } from './connections.ts';
import { allowOrigin, answerOptions } from './cors.ts';
import { discovery } from './discovery.ts';
import { answerUnreadable, closeUpgrade, readToEnd, toFailure } from './failures.ts';
import { fastifyLog } from './fastify-log.ts';
import { files } from './files.ts';
import { health } from './health.ts';
import { http } from './http.ts';
import { openai } from './openai.ts';
import { playground } from './playground.ts';
import { websocket } from './websocket.ts';

export const serverErrors = {
  listenFailed: 'The server cannot listen on its address and port.',
} as const;

type ServerErrorCode = keyof typeof serverErrors;

export type ServerParts = {
  config: Config;
  service: TaskService;
  assets: AssetStore;
  models: ModelStore;
  sources: Sources;
  keys: KeyStore;
  metrics: Metrics;
  engines: Pick<EnginePool, 'engines' | 'capacity' | 'problem'>;
  queue: Pick<Queue, 'depth'>;
  storage: Pick<StorageProbe, 'problem'>;
  log: Log;
  /** Time limits of WebSocket connections; the protocol's by default. */
  times?: ConnectionTimes;
};

/** Milliseconds for a whole request, for its headers, and between two checks of both. */
const requestTimes = { requestTimeout: 300_000, headersTimeout: 20_000, connectionsCheckingInterval: 5_000 };
/** Milliseconds that a client may leave an answer unread before its connection is closed. */
const stallTime = 120_000;

/** Not listening yet. */
export function createServer({
  config,
  service,
  assets,
  models,
  sources,
  keys,
  metrics,
  engines,
  queue,
  storage,
  log,
  times,
}: ServerParts): FastifyInstance {
  const gate = createGate(config, keys);
  const bodies = new Bodies(config);
  const connections = new Connections(config.connectionLimit);
  const addresses = new Addresses();
  const holdings = new WeakMap<FastifyRequest, Holding>();
  const server = fastify({
    // The server logs each request itself, see below.
    loggerInstance: fastifyLog(log),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.bodyLimit,
    requestTimeout: requestTimes.requestTimeout,
    http: { ...requestTimes, shouldUpgradeCallback: isWebSocketRequest },
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket),
    frameworkErrors: (error, request, reply) => {
      allowOrigin(request, reply, gate.allowsOrigin(request));
      closeUpgrade(request, reply);
      answer(reply, [{ failure: failure('routeNotFound', `The address cannot be read: ${error.message}.`) }]);
    },
  });
  connections.watch(server.server);
  metrics.gauge({ name: 'retouch_connections', help: 'Open connections.' }, () => connections.count);
  metrics.gauge(
    { name: 'retouch_request_bodies_bytes', help: 'Bodies of requests that are not answered yet.' },
    () => bodies.held,
  );
  addresses.watch(server);
  server.addHook('onRequest', async (request, reply) => {
    allowOrigin(request, reply, gate.allowsOrigin(request));
    dropUnreadableType(request);
    // Node drops bytes received after a refused upgrade: a second request would wait for ever.
    if (request.headers.upgrade !== undefined && !isWebSocketRequest(request.raw))
      reply.header('connection', 'close');
  });
  // After the authentication by headers, and before the body is read.
  server.addHook('preParsing', async (request, reply) => {
    if (request.ws) return;
    const keyKnown = isAdmitted(request);
    if (keyKnown) connections.keepFor(request, reply);
    const holding = bodies.begin({ keyKnown });
    holdings.set(request, holding);
    whenAnswered(reply, () => holding.release());
  });
  // The API parses the body, whatever its Content-Type.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) =>
    readBody(payload, holdings.get(request)!),
  );
  server.setErrorHandler(async (error, request, reply) => {
    await readToEnd(request.raw);
    const { answerFailure } = request.routeOptions.config;
    const known = toFailure(error, log);
    return answerFailure ? answerFailure(reply, known) : answer(reply, [{ failure: known }]);
  });
  server.setNotFoundHandler((request, reply) => {
    const methods = addresses.methodsOf(pathOf(request.url));
    const asked = `${request.method} ${request.url.slice(0, 100)}`;
    if (methods.length > 0 && request.method === 'OPTIONS') return answerOptions(request, reply, methods);
    if (methods.length > 0) {
      reply.header('allow', methods.join(', '));
      throw apiError('methodNotAllowed', `Nothing is served at ${asked}; expected ${methods.join(', ')}.`);
    }
    throw apiError('routeNotFound', `Nothing is served at ${asked}; tasks go to POST /v1.`);
  });
  // A kept-alive connection would delay the end of the server for as long as its client keeps it open.
  let closing = false;
  server.addHook('preClose', async () => {
    closing = true;
  });
  server.addHook('onSend', async (_request, reply) => {
    const isEventStream = String(reply.getHeader('content-type')).startsWith('text/event-stream');
    if (!isEventStream) reply.raw.setTimeout(stallTime, () => reply.raw.destroy());
    if (closing) reply.header('connection', 'close');
    if (reply.statusCode === 429 || reply.statusCode === 503) reply.header('retry-after', service.retryAfter);
  });
  server.addHook('onResponse', async (request, reply) => logRequest(log, request.method, request.url, reply));
  server.register(playground, { models });
  server.register(websocket, { service, config, gate, log, bodies, connections, ...(times && { times }) });
  server.register(http, { service, config, gate, connections });
  server.register(openai, { service, config, gate, models, sources });
  server.register(files, { assets });
  server.register(discovery, { models, maxTasks: config.batchLimit });
  server.register(health, { config, engines, queue, storage, models, metrics, gate });
  return server;
}

export type Listening = {
  /** Address that it listens on: `http://127.0.0.1:7100`. */
  url: string;
  /** Takes no new connections; resolves when those that are open have ended. */
  close(): Promise<void>;
};

/** Throws `listenFailed`. */
export async function listen(server: FastifyInstance, { host, port }: Config): Promise<Listening> {
  try {
    await requireFreePort(host, port);
    const url = await server.listen({ host, port, ...acceptorOptions });
    const acceptors = await Acceptors.open(server.server, server.addresses() as AddressInfo[]);
    const close = async () => {
      await Promise.all([acceptors.close(), server.close()]);
    };
    return { url, close };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'another program listens there' : (code ?? message);
    const text = `Listening on ${host}, port ${port}, failed: ${reason}.`;
    throw new RetouchError('listenFailed' satisfies ServerErrorCode, text, {}, { cause: error });
  }
}

/** Other upgrades (h2c, or any at another address) are ignored and the request is answered, as HTTP allows. */
function isWebSocketRequest({ method, url = '/', headers }: IncomingMessage): boolean {
  const isTaskAddress = ['/', '/v1'].includes(normalize(pathOf(url)));
  return method === 'GET' && isTaskAddress && /^websocket$/i.test(headers.upgrade ?? '');
}

/** Removes a malformed Content-Type, which Fastify would refuse and this server does not need. */
function dropUnreadableType({ raw }: FastifyRequest): void {
  const type = raw.headers['content-type'];
  if (type !== undefined && !/^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(;.*)?$/.test(type))
    delete raw.headers['content-type'];
}

function logRequest(log: Log, method: string, url: string, reply: FastifyReply): void {
  // Hides the address of an image, which is a secret.
  const path = pathOf(url)
    .slice(0, 100)
    .replace(/^(\/+images\/).*/, '$1…');
  // Monitoring requests these addresses every few seconds.
  const write = ['/health', '/ready', '/metrics'].includes(path) ? log.debug : log.info;
  write(`${method} ${path}`, { status: reply.statusCode, milliseconds: Math.round(reply.elapsedTime) });
}
