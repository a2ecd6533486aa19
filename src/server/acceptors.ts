/**
 * Several listening sockets on one port. libuv accepts one connection per listening socket and turn of the event loop, so
 * behind one socket a client waits as many turns as there are connections before it: with a thousand of them, seconds. The
 * system spreads new connections over the sockets of a port (SO_REUSEPORT).
 */

import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { promisify } from 'node:util';

/** Listening sockets of a port, each of which takes a descriptor. */
const count = 8;
/**
 * Connections that wait to be accepted, for each socket; Linux takes net.core.somaxconn at most. The system drops those
 * beyond, and their clients try again only a second later: Node's default is 511.
 */
const backlog = 4096;
/** Platforms where the system spreads connections; others take the option for something else, or not at all. */
const spreads = ['linux', 'freebsd', 'dragonfly', 'sunos', 'aix'].includes(process.platform);

/** The first socket's options for `listen`. */
export const acceptorOptions = { backlog, reusePort: spreads };

/**
 * Rejects with EADDRINUSE when anything listens on the port. A socket with SO_REUSEPORT would share it with another server
 * of the same user, and each would get a part of the connections.
 */
export async function requireFreePort(host: string, port: number): Promise<void> {
  if (!spreads || port === 0) return;
  const server = createServer();
  server.listen({ host, port });
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
}

/** The sockets beside the server's own. */
export class Acceptors {
  readonly #sockets: readonly Server[];

  private constructor(sockets: readonly Server[]) {
    this.#sockets = sockets;
  }

  /** For the addresses where `server` listens; the connections are handed to it. */
  static async open(server: HttpServer, addresses: readonly AddressInfo[]): Promise<Acceptors> {
    const sockets: Server[] = [];
    for (const { address: host, port } of spreads ? addresses : [])
      for (let i = 1; i < count; i++) {
        // With the options of Node's HTTP server.
        const socket = createServer({ allowHalfOpen: true, noDelay: true }, (connection) =>
          server.emit('connection', connection),
        );
        socket.listen({ host, port, ...acceptorOptions });
        await once(socket, 'listening');
        sockets.push(socket);
      }
    return new Acceptors(sockets);
  }

  /** Accepts no more; resolves when the connections that they accepted have ended. */
  async close(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => promisify(socket.close.bind(socket))()));
  }
}
