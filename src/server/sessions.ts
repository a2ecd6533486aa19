/**
 * Connection sessions of the WebSocket. Frames that the client has not acknowledged are kept for a limited time after the
 * connection breaks, and sent again when the client reconnects with its `connectionSessionUUID`. After a restart of the
 * process the results of its tasks are still delivered, see tasks/results/resumption.ts.
 */

import { randomUUID } from 'node:crypto';
import type { Frame } from './frames.ts';

/** A session's view of a connection. */
export type Line = {
  /** Called when the session has a frame; the line takes it with `next` after the earlier ones. */
  wake(): void;
  /** Ends a connection that another one has replaced. */
  replace(): void;
};

/** A frame that waits for its acknowledgement. */
export type Sending = {
  /** Undefined once it is acknowledged or dropped, so that it holds no memory. */
  frame: Frame | undefined;
  /** Called once the client has read it. */
  readonly arrived: (() => void)[];
};

export type SessionFacts = { uuid: string; owner: string };

/** The frames of one client, kept in order until each is acknowledged: delivered at least once, never reordered. */
export class Session {
  readonly uuid: string;
  /** The account that opened it; no other account can take it over. */
  readonly owner: string;
  readonly #maxBytes: number;
  readonly #pending = new Set<Sending>();
  /** Pending frames that the current line has not taken yet. */
  #unsent: Sending[] = [];
  #latest: Sending | undefined;
  #bytes = 0;
  #line: Line | undefined;

  constructor({ uuid, owner }: SessionFacts, maxBytes: number) {
    this.uuid = uuid;
    this.owner = owner;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the unacknowledged frames. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Sends the unacknowledged frames of the previous connection again. */
  attach(line: Line): void {
    const before = this.#line;
    this.#line = line;
    this.#unsent = [...this.#pending];
    before?.replace();
    line.wake();
  }

  /** @returns whether `line` was the current one */
  detach(line: Line): boolean {
    if (this.#line !== line) return false;
    this.#line = undefined;
    this.#unsent = [];
    return true;
  }

  /** The next frame for `line`; undefined when there is none, or another line has taken over. */
  next(line: Line): Sending | undefined {
    if (line !== this.#line) return undefined;
    while (this.#unsent[0] && !this.#unsent[0].frame) this.#unsent.shift();
    return this.#unsent.shift();
  }

  /** False when frames wait for `line`. */
  isSent(line: Line): boolean {
    return line !== this.#line || this.#unsent.every(({ frame }) => !frame);
  }

  say(frame: Frame, arrived: () => void = () => {}): void {
    const sending = { frame, arrived: [arrived] };
    this.#pending.add(sending);
    this.#latest = sending;
    this.#bytes += frame.size;
    // For a client that does not read, only the newest frames are kept; getResponse has the rest.
    for (const oldest of this.#pending) {
      if (this.#bytes <= this.#maxBytes || oldest === sending) break;
      this.#forget(oldest);
    }
    if (!this.#line) return;
    this.#unsent.push(sending);
    this.#line.wake();
  }

  /** Calls `act` when all frames so far are acknowledged. */
  afterAll(act: () => void): void {
    if (this.#latest) this.#latest.arrived.push(act);
    else act();
  }

  /** Acknowledges a frame. A frame that was sent over two lines may be acknowledged by both. */
  confirm(sending: Sending): void {
    if (!this.#pending.has(sending)) return;
    this.#forget(sending);
    for (const act of sending.arrived) act();
  }

  #forget(sending: Sending): void {
    if (this.#pending.delete(sending)) this.#bytes -= sending.frame?.size ?? 0;
    sending.frame = undefined;
    if (this.#latest === sending) this.#latest = undefined;
  }
}

export type SessionsOptions = {
  /** Milliseconds for which a session is kept without a connection. */
  keepMilliseconds: number;
  /** Most bytes of unacknowledged frames of one session. */
  maxBytes: number;
  /**
   * Limits of sessions without a connection, and of the bytes of all their frames: beyond either the oldest is dropped.
   */
  maxAbsent: number;
  maxAbsentBytes: number;
  /** Sessions of an earlier process whose clients may reconnect. */
  earlier: readonly SessionFacts[];
  onForget(session: Session): void;
};

/** The sessions of a server. A session without a connection for longer than `keepMilliseconds` is dropped. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  /** In the order in which their clients disconnected. */
  readonly #expiries = new Map<Session, NodeJS.Timeout>();
  /** Sessions restored from an earlier process whose client has not reconnected yet. */
  readonly #silent = new Set<Session>();
  readonly #options: SessionsOptions;

  constructor(options: SessionsOptions) {
    this.#options = options;
    for (const facts of options.earlier) {
      const session = new Session(facts, options.maxBytes);
      this.#sessions.set(session.uuid, session);
      this.#silent.add(session);
      this.#expire(session);
    }
  }

  /** The session of that UUID if `owner` opened it, else a new one: reconnecting late is no error. */
  open(owner: string, uuid: string | undefined): Session {
    const known = uuid === undefined ? undefined : this.#sessions.get(uuid.toLowerCase());
    if (known && known.owner === owner) {
      this.#cancelExpiry(known);
      return known;
    }
    const session = new Session({ uuid: randomUUID(), owner }, this.#options.maxBytes);
    this.#sessions.set(session.uuid, session);
    return session;
  }

  /** True once, when results of an earlier process are still to be delivered to the client. */
  takeUp(session: Session): boolean {
    return this.#silent.delete(session);
  }

  /** Call when `line` has closed. */
  leave(session: Session, line: Line): void {
    if (session.detach(line)) this.#expire(session);
  }

  clear(): void {
    for (const expiry of this.#expiries.values()) clearTimeout(expiry);
    this.#expiries.clear();
    this.#sessions.clear();
  }

  #expire(session: Session): void {
    this.#cancelExpiry(session);
    const expiry = setTimeout(() => this.#forget(session), this.#options.keepMilliseconds);
    expiry.unref();
    this.#expiries.set(session, expiry);
    this.#boundAbsent();
  }

  /** A session may get frames while its client is disconnected. */
  #boundAbsent(): void {
    const { maxAbsent, maxAbsentBytes } = this.#options;
    let bytes = 0;
    for (const session of this.#expiries.keys()) bytes += session.pendingBytes;
    for (const session of this.#expiries.keys()) {
      if (this.#expiries.size <= maxAbsent && bytes <= maxAbsentBytes) return;
      bytes -= session.pendingBytes;
      this.#forget(session);
    }
  }

  #cancelExpiry(session: Session): void {
    clearTimeout(this.#expiries.get(session));
    this.#expiries.delete(session);
  }

  #forget(session: Session): void {
    this.#cancelExpiry(session);
    this.#sessions.delete(session.uuid);
    this.#silent.delete(session);
    this.#options.onForget(session);
  }
}
