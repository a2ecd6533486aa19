/**
 * Limits concurrent connections. Each takes a file descriptor, and a process without a free one cannot answer at all.
 * When all are taken, a new connection replaces the oldest that is not kept: one that sends nothing, or has no known
 * key, so that /health and clients with a key always get through.
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import { whenAnswered } from './answer.ts';

/** Limit of connections when descriptors are unlimited. */
const most = 10_000;
/**
 * Share of the descriptors; the database, the log, the engine's pipes, images that are read and sent, and requests to
 * other hosts need the rest.
 */
const descriptorShare = 0.6;
/** Share of all connections that may be kept. */
const keptShare = 0.8;

export class Connections {
  readonly limit: number;
  readonly #maxKept: number;
  /** Open connections in the order of their arrival. */
  readonly #open = new Set<Socket>();
  /** Number of running requests, or WebSockets with a key, that keep the connection. */
  readonly #kept = new Map<Socket, number>();

  /** `configured` 0: as many as the descriptors of this process allow. */
  constructor(configured: number) {
    this.limit = configured === 0 ? defaultLimit() : configured;
    this.#maxKept = Math.max(1, Math.floor(this.limit * keptShare));
  }

  get count(): number {
    return this.#open.size;
  }

  watch(server: Server): void {
    server.on('connection', (socket) => {
      if (this.#open.size >= this.limit) this.#makeRoom();
      if (this.#open.size >= this.limit) {
        socket.destroy();
        return;
      }
      this.#open.add(socket);
      socket.once('close', () => {
        this.#open.delete(socket);
        this.#kept.delete(socket);
      });
    });
  }

  /** Keeps the connection of a client with a known key. False when the limit of kept connections is reached. */
  keep(socket: Socket): boolean {
    // Requests of `inject()` have no connection.
    if (!this.#open.has(socket)) return true;
    const times = this.#kept.get(socket) ?? 0;
    if (times === 0 && this.#kept.size >= this.#maxKept) return false;
    this.#kept.set(socket, times + 1);
    return true;
  }

  /** Keeps the connection until the request is answered. Throws `serverUnavailable`. */
  keepFor({ raw: { socket } }: FastifyRequest, reply: FastifyReply): void {
    if (!this.keep(socket)) throw this.refusal();
    whenAnswered(reply, () => this.letGo(socket));
  }

  refusal() {
    const message = `The server has ${this.#kept.size} connections of clients at the moment, as many as it takes; try again.`;
    return apiError('serverUnavailable', message);
  }

  /** Undoes one `keep`. */
  letGo(socket: Socket): void {
    const times = this.#kept.get(socket) ?? 0;
    if (times > 1) this.#kept.set(socket, times - 1);
    else this.#kept.delete(socket);
  }

  #makeRoom(): void {
    for (const socket of this.#open) {
      if (this.#kept.has(socket)) continue;
      this.#open.delete(socket);
      socket.destroy();
      return;
    }
  }
}

let openFiles: number | undefined;

function defaultLimit(): number {
  openFiles ??= readOpenFiles();
  return Math.max(4, Math.min(most, Math.floor(openFiles * descriptorShare)));
}

/** Node raises the soft limit to the hard one when it starts, so the report has the one in force. */
function readOpenFiles(): number {
  // Missing in @types/node. Without it the report looks up the host name of every peer.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft: number | string } };
  };
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isFinite(soft) && soft > 0 ? soft : most;
}
