/**
 * Connection sessions of the WebSocket: what was said to a client and is not known to have arrived is kept for a
 * while after the connection broke, and said again when the client comes back with its `connectionSessionUUID`.
 */

import { randomUUID } from 'node:crypto';

/** One connection as a session sees it. */
export type Line = {
  /** Sends a frame; `confirm` is called once the client's side is known to have read it. */
  send(text: string, confirm: () => void): void;
  /** Ends a connection that another one has taken the place of. */
  replace(): void;
};

/** Equal texts are different frames. */
type Frame = { text: string };

/** Frames said to one client, in order, until each is confirmed: at least once, and never reordered. */
export class Session {
  readonly uuid = randomUUID();
  /** Of the key it was opened with: a session is no way around a key. */
  readonly owner: string;
  readonly #maxBytes: number;
  readonly #pending = new Set<Frame>();
  #bytes = 0;
  #line: Line | undefined;

  constructor(owner: string, maxBytes: number) {
    this.owner = owner;
    this.#maxBytes = maxBytes;
  }

  /** Says again what the connection before did not confirm. */
  attach(line: Line): void {
    const before = this.#line;
    this.#line = line;
    before?.replace();
    for (const frame of this.#pending) this.#send(frame);
  }

  /** @returns whether `line` was the one in use */
  detach(line: Line): boolean {
    if (this.#line !== line) return false;
    this.#line = undefined;
    return true;
  }

  say(text: string): void {
    const frame = { text };
    this.#pending.add(frame);
    this.#bytes += text.length;
    // Whoever does not read gets the newest; the rest is there for getResponse.
    for (const oldest of this.#pending) {
      if (this.#bytes <= this.#maxBytes || oldest === frame) break;
      this.#forget(oldest);
    }
    this.#send(frame);
  }

  #send(frame: Frame): void {
    this.#line?.send(frame.text, () => this.#forget(frame));
  }

  #forget(frame: Frame): void {
    if (this.#pending.delete(frame)) this.#bytes -= frame.text.length;
  }
}

/** The sessions of a server. A session whose client is gone for longer than `keepMilliseconds` is forgotten. */
export class Sessions {
  readonly #sessions = new Map<string, { session: Session; expiry?: NodeJS.Timeout }>();
  readonly #keepMilliseconds: number;
  readonly #maxBytes: number;

  constructor(keepMilliseconds: number, maxBytes: number) {
    this.#keepMilliseconds = keepMilliseconds;
    this.#maxBytes = maxBytes;
  }

  /** The session of that UUID if it is this owner's, else a new one: a client that comes late is no error. */
  open(owner: string, uuid: string | undefined): Session {
    const known = uuid === undefined ? undefined : this.#sessions.get(uuid.toLowerCase());
    if (known && known.session.owner === owner) {
      clearTimeout(known.expiry);
      return known.session;
    }
    const session = new Session(owner, this.#maxBytes);
    this.#sessions.set(session.uuid, { session });
    return session;
  }

  /** The client of `line` is gone. */
  leave(session: Session, line: Line): void {
    if (!session.detach(line)) return;
    const expiry = setTimeout(() => this.#sessions.delete(session.uuid), this.#keepMilliseconds);
    expiry.unref();
    this.#sessions.set(session.uuid, { session, expiry });
  }

  clear(): void {
    for (const { expiry } of this.#sessions.values()) clearTimeout(expiry);
    this.#sessions.clear();
  }
}
