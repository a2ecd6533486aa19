/** `POST /v1`: an array of tasks in, one envelope out. */

import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { type Parsed, parseTasks } from '../api/parse.ts';
import type { PendingReply } from '../api/results.ts';
import type { Config } from '../config.ts';
import type { Caller, TaskService } from '../tasks/service.ts';
import { answerPending } from './answer.ts';
import type { Account, Gate } from './auth.ts';
import type { Connections } from './connections.ts';
import { refuseForm } from './failures.ts';

export type HttpOptions = { service: TaskService; config: Config; gate: Gate; connections: Connections };

export const http: FastifyPluginAsync<HttpOptions> = async (server, options) => {
  const { service, config, gate, connections } = options;
  const accounts = new WeakMap<FastifyRequest, Account>();
  const onRequest = async (request: FastifyRequest) => {
    const account = gate.checkRequest(request);
    if (account !== undefined) accounts.set(request, account);
    refuseForm(request);
  };
  const post = async (request: FastifyRequest, reply: FastifyReply) => {
    const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
    const parsed = parseTasks(body, service.parseContext);
    const account = accounts.get(request) ?? gate.checkTasks(parsed);
    if (!accounts.has(request)) connections.keepFor(request, reply);
    const caller = {
      account,
      publicUrl: publicUrlOf(request, config),
      signal: disconnection(reply),
      wholePolls: pollsWhole(request),
    };
    return answerPending(reply, await performAll(parsed, service, caller));
  };
  for (const url of ['/', '/v1']) {
    server.post(url, { onRequest }, post);
  }
};

/** Performs all tasks concurrently, since the queue keeps their order; replies are in the order of the tasks. */
async function performAll(
  parsed: readonly Parsed[],
  service: TaskService,
  caller: Caller,
): Promise<PendingReply[]> {
  const replies = await Promise.all(
    parsed.map(async (each): Promise<PendingReply[]> => {
      if ('failures' in each) return service.refuse(each.failures);
      // Clients read data[0] as their result, so an authentication task before other tasks gets no reply.
      if (each.task.taskType === 'authentication' && parsed.length > 1) return [];
      return collect(service.perform(each, caller));
    }),
  );
  return replies.flat();
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Aborts when the client disconnects before its answer was sent. */
export function disconnection({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

/**
 * Runware's Python SDK appends the finished images of every poll, and its ComfyUI nodes stop at the first: neither can
 * read a partly finished batch. SDKs before 0.5 send no name, only the user agent of the websockets library.
 */
export function pollsWhole({ headers }: FastifyRequest): boolean {
  const name = String(headers['x-sdk-name'] ?? '').toLowerCase();
  if (name !== '') return name === 'python' || name.includes('comfy');
  return /\bwebsockets\//.test(headers['user-agent'] ?? '');
}

/** The start of image URLs: the configured public URL, or else the address at which the client reached the server. */
export function publicUrlOf(request: FastifyRequest, config: Config): string {
  if (config.publicUrl !== '') return config.publicUrl;
  const url = URL.parse(`${request.protocol}://${request.host}`);
  return url?.origin ?? `http://${config.host}:${config.port}`;
}
