/** The bytes of the messages that a WebSocket receives, counted as they arrive: a message may come in many fragments. */

import type { Socket } from 'node:net';
import type { Bodies, Holding } from './bodies.ts';

export class Intake {
  readonly #bodies: Bodies;
  #keyKnown = false;
  #arriving: Holding;

  constructor(socket: Socket, bodies: Bodies) {
    this.#bodies = bodies;
    this.#arriving = bodies.begin({ keyKnown: false });
    // Before the WebSocket reads the chunk, so that a message is counted when it is announced.
    socket.prependListener('data', (chunk: Buffer) => this.#count(chunk.length));
    socket.once('close', () => this.#arriving.release());
  }

  /** Called with an API error when the message that arrives cannot be taken. */
  onRefuse: (error: unknown) => void = () => {};

  /** From the next message on the limits are those of clients whose key is known. */
  admit(): void {
    if (this.#keyKnown) return;
    this.#keyKnown = true;
    this.take().release();
  }

  /** The message that has just arrived; to be released when it is answered. */
  take(): Holding {
    const arrived = this.#arriving;
    this.#arriving = this.#bodies.begin({ keyKnown: this.#keyKnown });
    return arrived;
  }

  #count(bytes: number): void {
    try {
      this.#arriving.add(bytes);
    } catch (error) {
      this.onRefuse(error);
    }
  }
}
