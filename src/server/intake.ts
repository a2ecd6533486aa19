/** Counts the bytes of WebSocket messages as they arrive, because a message may have many fragments. */

import type { Socket } from 'node:net';
import type { Bodies, Holding } from './bodies.ts';

export class Intake {
  readonly #bodies: Bodies;
  #keyKnown = false;
  #arriving: Holding;

  constructor(socket: Socket, bodies: Bodies) {
    this.#bodies = bodies;
    this.#arriving = bodies.begin({ keyKnown: false });
    // Before the WebSocket parses the chunk, so that a message is counted when it is announced.
    socket.prependListener('data', (chunk: Buffer) => this.#count(chunk.length));
    socket.once('close', () => this.#arriving.release());
  }

  /** Called with an API error when the arriving message exceeds a limit. */
  onRefuse: (error: unknown) => void = () => {};

  /** Applies the limits of clients with a known key from the next message on. */
  admit(): void {
    if (this.#keyKnown) return;
    this.#keyKnown = true;
    this.take().release();
  }

  /** The bytes of the message that has just arrived; the caller releases them when it is answered. */
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
