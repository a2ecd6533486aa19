/**
 * Connection sessions of the WebSocket: what was said to a client and is not known to have arrived is kept for a
 * while after the connection broke, and said again when the client comes back with its `connectionSessionUUID`. After
 * an end of the process the results of its tasks are still said, see tasks/results/resumption.ts.
 */

import { randomUUID } from 'node:crypto';

/** One connection as a session sees it. */
export type Line = {
  /** Sends a frame; `confirm` is called once the client's side is known to have read it. */
  send(text: string, confirm: () => void): void;
  /** Ends a connection that another one has taken the place of. */
  replace(): void;
};

/** Equal texts are different frames. `arrived`: what is done once the client has it. */
type Frame = { text: string; arrived: (() => void)[] };

export type SessionFacts = { uuid: string; owner: string };

/** Frames said to one client, in order, until each is confirmed: at least once, and never reordered. */
export class Session {
  readonly uuid: string;
  /** Of the key it was opened with: a session is no way around a key. */
  readonly owner: string;
  readonly #maxBytes: number;
  readonly #pending = new Set<Frame>();
  #latest: Frame | undefined;
  #bytes = 0;
  #line: Line | undefined;

  constructor({ uuid, owner }: SessionFacts, maxBytes: number) {
    this.uuid = uuid;
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

  say(text: string, arrived: () => void = () => {}): void {
    const frame = { text, arrived: [arrived] };
    this.#pending.add(frame);
    this.#latest = frame;
    this.#bytes += text.length;
    // Whoever does not read gets the newest; the rest is there for getResponse.
    for (const oldest of this.#pending) {
      if (this.#bytes <= this.#maxBytes || oldest === frame) break;
      this.#forget(oldest);
    }
    this.#send(frame);
  }

  /** Once everything that was said until now has arrived. */
  afterAll(act: () => void): void {
    if (this.#latest) this.#latest.arrived.push(act);
    else act();
  }

  #send(frame: Frame): void {
    this.#line?.send(frame.text, () => this.#confirm(frame));
  }

  /** A frame that was sent over two lines may be confirmed by both. */
  #confirm(frame: Frame): void {
    if (!this.#pending.has(frame)) return;
    this.#forget(frame);
    for (const act of frame.arrived) act();
  }

  #forget(frame: Frame): void {
    if (this.#pending.delete(frame)) this.#bytes -= frame.text.length;
    if (this.#latest === frame) this.#latest = undefined;
  }
}

export type SessionsOptions = {
  /** How long a client may be gone. */
  keepMilliseconds: number;
  /** Of one session's frames that no client confirmed. */
  maxBytes: number;
  /** Sessions of an earlier process, whose clients may come back for the rest. */
  earlier: readonly SessionFacts[];
  onForget(session: Session): void;
};

/** The sessions of a server. A session whose client is gone for longer than `keepMilliseconds` is forgotten. */
export class Sessions {
  readonly #sessions = new Map<string, { session: Session; expiry?: NodeJS.Timeout }>();
  /** Those of an earlier process to whose clients nothing was said by this one. */
  readonly #silent = new Set<Session>();
  readonly #options: SessionsOptions;

  constructor(options: SessionsOptions) {
    this.#options = options;
    for (const facts of options.earlier) {
      const session = new Session(facts, options.maxBytes);
      this.#silent.add(session);
      this.#expire(session);
    }
  }

  /** The session of that UUID if it is this owner's, else a new one: a client that comes late is no error. */
  open(owner: string, uuid: string | undefined): Session {
    const known = uuid === undefined ? undefined : this.#sessions.get(uuid.toLowerCase());
    if (known && known.session.owner === owner) {
      clearTimeout(known.expiry);
      return known.session;
    }
    const session = new Session({ uuid: randomUUID(), owner }, this.#options.maxBytes);
    this.#sessions.set(session.uuid, { session });
    return session;
  }

  /** True once, when an earlier process owes the client something that is to be said now. */
  takeUp(session: Session): boolean {
    return this.#silent.delete(session);
  }

  /** The client of `line` is gone. */
  leave(session: Session, line: Line): void {
    if (session.detach(line)) this.#expire(session);
  }

  clear(): void {
    for (const { expiry } of this.#sessions.values()) clearTimeout(expiry);
    this.#sessions.clear();
  }

  #expire(session: Session): void {
    const expiry = setTimeout(() => {
      this.#sessions.delete(session.uuid);
      this.#silent.delete(session);
      this.#options.onForget(session);
    }, this.#options.keepMilliseconds);
    expiry.unref();
    this.#sessions.set(session.uuid, { session, expiry });
  }
}
