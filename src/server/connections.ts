/**
 * How many connections there are at once. Each takes a file descriptor, and a process without a free one cannot answer
 * anybody. When all are taken, a new connection replaces the oldest that is not kept: one that sends nothing, or whose
 * key is not known, so that /health and clients with a key always get through.
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import { whenAnswered } from './answer.ts';

/** Connections where nothing limits the descriptors. */
const most = 10_000;
/** The database, the log, the engine's pipes, images that are read and sent, and requests to other hosts need the rest. */
const descriptorShare = 0.6;
/** The part of all connections that may be kept. */
const keptShare = 0.8;

export class Connections {
  readonly limit: number;
  readonly #maxKept: number;
  /** Open ones in the order of their coming. */
  readonly #open = new Set<Socket>();
  /** How many requests under way, or WebSockets with a key, keep it. */
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

  /** Protects the connection of a client whose key is known. False when there are as many of them as may be. */
  keep(socket: Socket): boolean {
    // Requests of tests come over no connection.
    if (!this.#open.has(socket)) return true;
    const times = this.#kept.get(socket) ?? 0;
    if (times === 0 && this.#kept.size >= this.#maxKept) return false;
    this.#kept.set(socket, times + 1);
    return true;
  }

  /** Until the request is answered. Throws `serverUnavailable`. */
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
  // @types/node does not know it yet. Without it the report looks up the name of every peer.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft: number | string } };
  };
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isFinite(soft) && soft > 0 ? soft : most;
}
