/** Clients that misbehave on raw sockets, each for a limited time. */

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Hostile, handshake, message } from './hostile-requests.ts';

/** Milliseconds after which a client gives up: many of these requests are never whole, and get no answer. */
const patience = 400;
/** The same for clients that read, so that a busy server's answers are seen, and then what they wait for more. */
const readerPatience = 4_000;
const answeredPatience = 100;

function open(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  // The server refuses by closing, also while it is written to.
  socket.on('error', () => {});
  return socket;
}

/** The statuses of the answers; none where the server closed without a word, or said nothing in time. */
export async function misbehave(port: number, { bytes, then, manner }: Hostile): Promise<number[]> {
  const socket = open(port);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const answered = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  if (manner === 'deaf') socket.pause();
  else
    socket.on('data', (chunk) => {
      if (then && chunks.length === 0) socket.write(then);
      chunks.push(chunk);
      answered.resolve();
      if (manner === 'reset') socket.resetAndDestroy();
    });
  socket.once('end', () => socket.end());
  if (manner === 'trickle') await trickle(socket, bytes);
  else socket.write(bytes);
  if (manner === 'end') socket.end();
  const limit = manner === 'read' ? readerPatience : patience;
  await Promise.race([closed, sleep(limit), answered.promise.then(() => sleep(answeredPatience))]);
  if (manner === 'reset' || manner === 'hold') socket.resetAndDestroy();
  else socket.destroy();
  await closed;
  return statuses(Buffer.concat(chunks));
}

async function trickle(socket: Socket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < Math.min(bytes.length, 20) && !socket.destroyed; at++) {
    socket.write(bytes.subarray(at, at + 1));
    await sleep(5);
  }
  socket.write(bytes.subarray(20));
}

function statuses(answer: Buffer): number[] {
  return [...answer.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

/** WebSockets that are asked for all at once and held; every other one gives a key. */
export class HeldSockets {
  readonly #sockets: Socket[] = [];
  /** Number of connections that became WebSockets. */
  upgraded = 0;
  #closed = 0;

  constructor(port: number, count: number, key: string) {
    for (let i = 0; i < count; i++) {
      const socket = open(port);
      this.#sockets.push(socket);
      socket.write(handshake);
      socket.once('data', () => {
        this.upgraded++;
        const task = { taskType: 'authentication', apiKey: i % 2 === 0 ? key : 'wrong' };
        socket.write(message(JSON.stringify([task])));
      });
      socket.once('end', () => socket.end());
      socket.once('close', () => this.#closed++);
      socket.resume();
    }
  }

  /** Each was upgraded or refused. */
  get areAnswered(): boolean {
    return this.upgraded + this.#closed >= this.#sockets.length;
  }

  drop(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}
