/** MCP over streamable HTTP at `/mcp`: a session per client, each of one account. */

import { randomUUID } from 'node:crypto';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import { parseText } from '../api/parse.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { createGate } from '../server/auth.ts';
import { publicUrlOf } from '../server/http.ts';
import type { KeyStore } from '../store/keys.ts';
import { createMcpServer, type ServerInfo } from './server.ts';
import type { Desk } from './tool.ts';

export type McpHttpOptions = {
  desk: Desk;
  config: Config;
  keys: Pick<KeyStore, 'digests' | 'noteUse'>;
  info: ServerInfo;
  log: Log;
};

/** Milliseconds without a request, after which a session is ended; a client may begin another at any time. */
const idleTime = 30 * 60_000;
const maxSessions = 1000;

type Session = {
  account: string;
  transport: StreamableHTTPServerTransport;
  /** Answers under way: streams among them. */
  open: number;
  idle: NodeJS.Timeout | undefined;
};

export const mcpHttp: FastifyPluginAsync<McpHttpOptions> = async (server, options) => {
  const { desk, config, keys, info, log } = options;
  const gate = createGate(config, keys);
  const sessions = new Map<string, Session>();
  const accounts = new WeakMap<FastifyRequest, string>();
  const onRequest = async (request: FastifyRequest) => {
    accounts.set(request, gate.requireKey(request));
  };

  server.route({
    method: ['POST', 'GET', 'DELETE'],
    url: '/mcp',
    onRequest,
    async handler(request, reply) {
      const account = accounts.get(request)!;
      const message = request.method === 'POST' ? readMessage(request) : undefined;
      const id = request.headers['mcp-session-id'];
      const known = typeof id === 'string' ? sessions.get(id) : undefined;
      if (known?.account === account) return handle(known, request, reply, message);
      if (id === undefined && isInitializeRequest(message))
        return handle(await begin(account, request), request, reply, message);
      return refuse(reply, id === undefined);
    },
  });
  server.addHook('preClose', async () => {
    await Promise.all([...sessions.values()].map(({ transport }) => transport.close()));
  });

  async function begin(account: string, request: FastifyRequest): Promise<Session> {
    if (sessions.size >= maxSessions) {
      const message = `The server has ${sessions.size} MCP sessions, as many as it takes; idle ones end after ${idleTime / 60_000} minutes.`;
      throw apiError('rateLimitExceeded', message);
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, session),
    });
    const session: Session = { account, transport, open: 0, idle: undefined };
    const mcp = createMcpServer(desk, { account, publicUrl: publicUrlOf(request, config) }, info);
    mcp.onclose = () => {
      clearTimeout(session.idle);
      if (transport.sessionId !== undefined) sessions.delete(transport.sessionId);
    };
    mcp.onerror = (error) => log.debug('An MCP session had an error.', { reason: error.message });
    // Its types say `| undefined` where the interface says absent.
    await mcp.connect(transport as Parameters<typeof mcp.connect>[0]);
    return session;
  }
};

async function handle(
  session: Session,
  request: FastifyRequest,
  reply: FastifyReply,
  message: unknown,
): Promise<void> {
  clearTimeout(session.idle);
  session.open += 1;
  reply.raw.once('close', () => {
    session.open -= 1;
    if (session.open > 0) return;
    clearTimeout(session.idle);
    session.idle = setTimeout(() => void session.transport.close(), idleTime);
    session.idle.unref();
  });
  // The transport answers on the raw response, which knows nothing of Fastify's headers: CORS's among them.
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value);
  reply.hijack();
  await session.transport.handleRequest(request.raw, reply.raw, message);
}

/** Throws `invalidBody`. */
function readMessage({ body }: FastifyRequest): unknown {
  return parseText(body instanceof Uint8Array ? body : new Uint8Array(), 'a JSON-RPC message of MCP');
}

/** As the protocol has it: 404 tells a client to begin a new session. */
function refuse(reply: FastifyReply, isNew: boolean): FastifyReply {
  const message = isNew
    ? 'This request belongs to no session; expected an initialize request first, or the header Mcp-Session-Id.'
    : 'There is no session of that Mcp-Session-Id; begin a new one with an initialize request.';
  const error = { code: isNew ? -32_000 : -32_001, message };
  return reply
    .code(isNew ? 400 : 404)
    .type('application/json')
    .send({ jsonrpc: '2.0', error, id: null });
}
