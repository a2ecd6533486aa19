/**
 * The WebSocket of the task API at the addresses of `POST /v1`: arrays of tasks in, one frame per result out, each as
 * soon as it is known.
 */

import websocketPlugin from '@fastify/websocket';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import type { Parsed } from '../api/parse.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import type { TaskService } from '../tasks/service.ts';
import type { Gate } from './auth.ts';
import type { Bodies } from './bodies.ts';
import { Connection, type ConnectionTimes, connectionTimes } from './connection.ts';
import type { Connections } from './connections.ts';
import { pollsWhole, publicUrlOf } from './http.ts';
import { Intake } from './intake.ts';
import { Sessions } from './sessions.ts';

export type WebSocketOptions = {
  service: TaskService;
  config: Config;
  gate: Gate;
  log: Log;
  bodies: Bodies;
  connections: Connections;
  times?: ConnectionTimes;
};

/** Milliseconds for which results wait for a client to reconnect: two minutes in the protocol. */
const keepTime = 120_000;
/** Most bytes of unacknowledged frames of one session. Images do not count: they are read when they are sent. */
const maxPendingBytes = 16 * 2 ** 20;
/** Limits of sessions without a connection, and of the bytes of all their frames. */
const maxAbsent = 10_000;
const maxAbsentBytes = 64 * 2 ** 20;

const plugin: FastifyPluginAsync<WebSocketOptions> = async (server, options) => {
  const { service, config, gate, log, bodies, connections, times = connectionTimes } = options;
  const { resumption } = service;
  const sessions = new Sessions({
    keepMilliseconds: keepTime,
    maxBytes: maxPendingBytes,
    maxAbsent,
    maxAbsentBytes,
    earlier: resumption.sessions().map(({ uuid, account }) => ({ uuid, owner: account })),
    onForget: ({ uuid }) => resumption.forget(uuid),
  });
  const open = new Set<Connection>();
  // Keys are revoked by another process, which cannot notify this one.
  const keyCheck = setInterval(() => checkKeys(open, log), times.keyCheck).unref();
  await server.register(websocketPlugin, {
    options: { maxPayload: config.bodyLimit, perMessageDeflate: false },
    errorHandler: (error, socket) => {
      // Broken frames and broken lines are the client's: ws closes with the code of the fault, and Connection waits for that.
      const { code = '' } = error as NodeJS.ErrnoException;
      if (/^(WS_ERR_|E[A-Z]+$)/.test(code)) return;
      log.error('A WebSocket failed because of a bug.', { error });
      socket.terminate();
    },
    preClose: async () => {
      clearInterval(keyCheck);
      // Running tasks may still be answered, within the shutdown's time limit.
      await Promise.all([...open].map((connection) => connection.settled()));
      for (const connection of open) connection.close();
      sessions.clear();
    },
  });
  for (const url of ['/', '/v1']) {
    server.route({
      method: 'GET',
      url,
      config: url === '/' ? {} : { allow: [] },
      onRequest: async (request) => {
        if (request.ws) gate.checkRequest(request);
      },
      handler: async (_request, reply) => {
        if (url === '/') return reply.sendPlayground();
        reply.header('allow', 'POST, OPTIONS');
        const message = `${url} takes POST with a JSON array of tasks, or a WebSocket, not GET.`;
        throw apiError('methodNotAllowed', message);
      },
      wsHandler: (socket, request) => {
        const { socket: raw } = request.raw;
        const authenticate = (first: Parsed) => ownerOf(request, first);
        const keep = () => {
          if (!connections.keep(raw)) throw connections.refusal();
        };
        const publicUrl = publicUrlOf(request, config);
        const connection = new Connection(socket, {
          ...{ service, sessions, publicUrl, times, authenticate, keep, log },
          intake: new Intake(raw, bodies),
          recheck: gate.recheck,
          wholePolls: pollsWhole(request),
        });
        open.add(connection);
        socket.once('close', () => open.delete(connection));
      },
    });
  }

  /** Returns the account of the client's key. Throws API errors. */
  function ownerOf(request: FastifyRequest, first: Parsed): string {
    return gate.checkRequest(request) ?? gate.checkTasks([first]);
  }
};

function checkKeys(connections: Iterable<Connection>, log: Log): void {
  try {
    for (const connection of connections) connection.checkKey();
  } catch (error) {
    log.warn('The keys of open connections could not be checked; it is tried again.', { error });
  }
}

/**
 * Not encapsulated: an upgrade may be requested at any address of the server, and must be answered there like a
 * request.
 */
export const websocket = Object.assign(plugin, { [Symbol.for('skip-override')]: true });
