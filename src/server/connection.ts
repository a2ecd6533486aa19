/** One WebSocket connection of the task API: incoming messages, outgoing frames, and its end. */

import type { WebSocket } from '@fastify/websocket';
import { failure, failureOf } from '../api/errors.ts';
import { type Parsed, parseTasks } from '../api/parse.ts';
import type { PendingReply, Reply, ResultOf } from '../api/results.ts';
import type { Log } from '../log.ts';
import type { Caller, TaskService } from '../tasks/service.ts';
import { type Frame, framesOf } from './frames.ts';
import type { Intake } from './intake.ts';
import type { Line, Sending, Session, Sessions } from './sessions.ts';

/** Milliseconds. */
export type ConnectionTimes = {
  /** Silence after which the connection is closed; two minutes in the protocol. */
  idle: number;
  /** Time for the message with the key. */
  authentication: number;
  /** Interval of pings to a silent client; two without an answer end the connection. */
  heartbeat: number;
  /** Interval at which the key of a client that only listens is checked for revocation. */
  keyCheck: number;
};

export const connectionTimes: ConnectionTimes = {
  idle: 120_000,
  authentication: 30_000,
  heartbeat: 30_000,
  keyCheck: 5_000,
};

export type ConnectionParts = {
  service: TaskService;
  sessions: Sessions;
  publicUrl: string;
  wholePolls: boolean;
  times: ConnectionTimes;
  /** Authenticates the client: returns the session's owner or throws an API error. */
  authenticate(first: Parsed): string;
  /** Reserves a connection of a known client; throws `serverUnavailable`. */
  keep(): void;
  intake: Intake;
  /** Throws an API error when the owner's key is no longer valid. */
  recheck(owner: string): void;
  log: Log;
};

const closeCodes = { normal: 1000, goingAway: 1001, policy: 1008, tooLarge: 1009, tryAgain: 1013 } as const;
/** Messages without a valid key before the connection is closed. */
const maxRefusals = 3;
/**
 * Unread bytes of pongs, refusals and similar frames after which the connection is closed. Results wait in the session.
 */
const maxDirectBytes = 16 * 2 ** 20;
/** Most unsent bytes ahead of a preview: behind more it would arrive late. */
const maxUnsentPreviews = 4 * 2 ** 20;
/** Milliseconds that a client has to read why its message is refused, while it still sends. */
const refusalTime = 500;
/** Milliseconds that the closing handshake may take. */
const closeTime = 5_000;
/** Milliseconds that a stopping server waits for a client to read its pending frames. */
const flushTime = 2_000;

export class Connection implements Line {
  readonly #socket: WebSocket;
  readonly #parts: ConnectionParts;
  readonly #idle: NodeJS.Timeout;
  readonly #heartbeat: NodeJS.Timeout;
  /** Sent frames in order; each is acknowledged by the pong with its number. */
  readonly #confirmations: { number: number; session: Session; sending: Sending }[] = [];
  /** Frames of this connection only; they are sent before those of the session. */
  readonly #direct: Frame[] = [];
  #directBytes = 0;
  #pumping: Promise<void> | undefined;
  /** Set when the socket must be closed after the last frame. */
  #end: (() => void) | undefined;
  #pings = 0;
  #answered = 0;
  #misses = 0;
  #refusals = 0;
  #session: Session | undefined;
  readonly #work = new Set<Promise<void>>();
  /** Aborts when this connection ends, and with it work for this connection only. */
  readonly #gone = new AbortController();

  constructor(socket: WebSocket, parts: ConnectionParts) {
    this.#socket = socket;
    this.#parts = parts;
    const { idle, authentication, heartbeat } = parts.times;
    this.#idle = setTimeout(() => this.#onIdle(), idle);
    this.#heartbeat = setInterval(() => this.#onHeartbeat(), heartbeat);
    setTimeout(() => {
      if (!this.#session) this.#close(closeCodes.policy, 'no authentication task came');
    }, authentication).unref();
    parts.intake.onRefuse = (error) => this.#refuse(error);
    socket.on('message', (data) => this.#onMessage(data as Buffer));
    socket.on('ping', () => this.#idle.refresh());
    socket.on('pong', (data) => this.#onPong(Number(data.toString())));
    socket.on('close', () => this.#onClose());
    socket.on('error', (error) => this.#onError(error));
  }

  /** Resolves when every received task was answered and the client had time to read the answers. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
    const deadline = AbortSignal.timeout(flushTime);
    const timeUp = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve()));
    while (this.#pumping && !deadline.aborted) await Promise.race([this.#pumping, timeUp]);
  }

  wake(): void {
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
      if (this.#hasMore()) this.wake();
    });
  }

  replace(): void {
    this.#socket.terminate();
  }

  /** Returns false and closes the connection when its key is no longer valid. Accepted tasks continue. */
  checkKey(): boolean {
    if (!this.#session) return true;
    try {
      this.#parts.recheck(this.#session.owner);
      return true;
    } catch (error) {
      const known = failureOf(error);
      if (!known) throw error;
      this.#write([{ failure: known }]);
      this.#close(closeCodes.policy, 'the API key is no longer taken');
      return false;
    }
  }

  /** A message that is too large is not read to its end, so the connection must be closed. */
  #refuse(error: unknown): void {
    if (this.#end) return;
    const known = failureOf(error) ?? bug();
    this.#write([{ failure: known }]);
    const isTooLarge = known.error.code === 'valueTooLarge';
    this.#close(isTooLarge ? closeCodes.tooLarge : closeCodes.tryAgain, 'the message is too large');
    this.#socket.pause();
    setTimeout(() => this.#socket.terminate(), refusalTime).unref();
  }

  close(): void {
    this.#close(closeCodes.goingAway, 'the server is shutting down');
  }

  #onMessage(data: Buffer): void {
    this.#idle.refresh();
    const holding = this.#parts.intake.take();
    if (this.#end) holding.release();
    else this.#begin(this.#perform(data).finally(() => holding.release()));
  }

  #begin(task: Promise<void>): void {
    const work = task.finally(() => this.#work.delete(work));
    this.#work.add(work);
  }

  async #perform(data: Buffer): Promise<void> {
    try {
      const parsed = parseTasks(data, this.#parts.service.parseContext);
      const rest = this.#authenticate(parsed);
      await Promise.all(rest.map((each) => this.#answer(each)));
    } catch (error) {
      const known = failureOf(error);
      if (!known) this.#parts.log.error('A WebSocket message failed because of a bug.', { error });
      this.#say([{ failure: known ?? bug() }]);
      // Some clients take a closed connection for a failed network and ignore its code, so the connection stays open
      // for the first answers.
      if (known?.error.code === 'serverUnavailable') this.#close(closeCodes.tryAgain, 'the server is full');
      if (!this.#session && ++this.#refusals >= maxRefusals)
        this.#close(closeCodes.policy, 'authentication failed');
    }
  }

  /** The tasks that remain after the authentication. */
  #authenticate(parsed: readonly Parsed[]): readonly Parsed[] {
    const [first, ...rest] = parsed as readonly [Parsed, ...Parsed[]];
    const isKey = 'task' in first && first.task.taskType === 'authentication';
    if (this.#session && !isKey) return this.checkKey() ? parsed : [];
    const owner = this.#parts.authenticate(first);
    if (!this.#session) this.#parts.keep();
    this.#parts.intake.admit();
    const uuid = isKey ? (first.task as { connectionSessionUUID?: string }).connectionSessionUUID : undefined;
    const session = this.#parts.sessions.open(owner, uuid);
    if (isKey) this.#write([{ item: { taskType: 'authentication', connectionSessionUUID: session.uuid } }]);
    if (session !== this.#session) {
      if (this.#session) this.#parts.sessions.leave(this.#session, this);
      this.#session = session;
      session.attach(this);
      if (this.#parts.sessions.takeUp(session)) this.#resume(session);
    }
    return isKey ? rest : parsed;
  }

  /** Sends the results that an earlier process did not deliver. */
  #resume(session: Session): void {
    for (const { taskUUID, replies } of this.#parts.service.resumption.resume(session.uuid, this.#caller)) {
      this.#begin(this.#tell(taskUUID, replies, session));
    }
  }

  /** Work continues without the client, which may reconnect. */
  get #caller(): Caller {
    const { owner: account, uuid: session } = this.#session!;
    const { publicUrl, wholePolls } = this.#parts;
    return { account, session, publicUrl, wholePolls, signal: new AbortController().signal };
  }

  async #answer(parsed: Parsed): Promise<void> {
    const { service } = this.#parts;
    if ('failures' in parsed) return this.#say(service.refuse(parsed.failures));
    const { task } = parsed;
    if (task.taskType === 'watchTask') {
      // A shutdown does not wait for it.
      void this.#watch(service.perform(parsed, { ...this.#caller, signal: this.#gone.signal }));
      return;
    }
    const replies = service.perform(parsed, this.#caller);
    if (task.taskType === 'imageInference') return this.#tell(task.taskUUID, replies, this.#session!);
    const all: PendingReply[] = [];
    for await (const reply of replies) all.push(reply);
    // Pongs belong to this connection only.
    if (task.taskType === 'ping') this.#write(all);
    else this.#say(all);
  }

  /** Sends changes to this connection only: a later connection asks again and gets the state. */
  async #watch(replies: AsyncIterable<PendingReply>): Promise<void> {
    for await (const reply of replies) {
      if ('item' in reply && this.#directBytes > maxUnsentPreviews) {
        const { previewDataURI: _, ...item } = reply.item as ResultOf<'watchTask'>;
        this.#write([{ item }]);
      } else this.#write([reply]);
    }
  }

  /** Sends each result when it is known, over the session's current connection. */
  async #tell(taskUUID: string, replies: AsyncIterable<PendingReply>, session: Session): Promise<void> {
    const { resumption } = this.#parts.service;
    let failed = false;
    for await (const reply of replies) {
      failed ||= 'failure' in reply;
      const result = imageUuidOf(reply);
      const arrived = result === undefined ? undefined : () => resumption.note({ result });
      for (const frame of framesOf([reply])) session.say(frame, arrived);
    }
    // Errors do not name their result, and one error may stand for several.
    const receipt = { task: taskUUID.toLowerCase(), session: session.uuid };
    if (failed) session.afterAll(() => resumption.note(receipt));
  }

  #say(replies: readonly PendingReply[]): void {
    for (const frame of framesOf(replies)) {
      if (this.#session) this.#session.say(frame);
      else this.#sendDirectly(frame);
    }
  }

  /** Sends to this connection only, without repetition. */
  #write(replies: readonly PendingReply[]): void {
    for (const frame of framesOf(replies)) this.#sendDirectly(frame);
  }

  #sendDirectly(frame: Frame): void {
    if (this.#socket.readyState !== this.#socket.OPEN || this.#end) return;
    this.#direct.push(frame);
    this.#directBytes += frame.size;
    if (this.#directBytes > maxDirectBytes) this.#socket.terminate();
    else this.wake();
  }

  /**
   * Sends one frame at a time, each after the system has accepted the one before: the frames of a slow client wait in
   * its session, not in a buffer of the socket.
   */
  async #pump(): Promise<void> {
    try {
      while (this.#socket.readyState === this.#socket.OPEN) {
        const direct = this.#direct.shift();
        if (direct) {
          this.#directBytes -= direct.size;
          await this.#transmit(direct);
          continue;
        }
        if (this.#end) return this.#end();
        const session = this.#session;
        const sending = session?.next(this);
        if (!session || !sending?.frame) return;
        await this.#transmit(sending.frame);
        this.#confirmations.push({ number: this.#ping(), session, sending });
      }
    } catch (error) {
      // The frame stays in the session and is sent again over the next connection.
      this.#parts.log.debug('A WebSocket broke while it was written to.', { error });
      this.#socket.terminate();
    }
  }

  #hasMore(): boolean {
    if (this.#socket.readyState !== this.#socket.OPEN) return false;
    return this.#direct.length > 0 || this.#end !== undefined || !(this.#session?.isSent(this) ?? true);
  }

  /** A long message is sent in fragments, so that only one of them is in memory. */
  async #transmit(frame: Frame): Promise<void> {
    const pieces = frame.write();
    let { value: piece, done } = await pieces.next();
    while (!done) {
      const next = await pieces.next();
      await this.#send(piece as string, next.done ?? false);
      ({ value: piece, done } = next);
    }
    for (const errors of framesOf(piece as readonly Reply[])) await this.#transmit(errors);
  }

  #send(piece: string, isLast: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(piece, { fin: isLast }, (error) => {
        // The client is reading, even if a pong behind a piece larger than the buffers takes long.
        if (!isLast) this.#misses = 0;
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /**
   * A frame counts as received when the client's library answers a ping sent after it: libraries answer pings
   * automatically, and TCP keeps the order. A successful write proves nothing, since the connection may be dead.
   */
  #ping(): number {
    this.#pings += 1;
    this.#socket.ping(String(this.#pings));
    return this.#pings;
  }

  #onPong(number: number): void {
    if (!Number.isSafeInteger(number)) return;
    this.#misses = 0;
    this.#answered = Math.max(this.#answered, number);
    while (this.#confirmations[0] && this.#confirmations[0].number <= this.#answered) {
      const { session, sending } = this.#confirmations.shift()!;
      session.confirm(sending);
    }
  }

  #onHeartbeat(): void {
    // A large picture on a slow line delays a pong; two intervals without one mean a dead line.
    this.#misses = this.#answered < this.#pings ? this.#misses + 1 : 0;
    if (this.#misses >= 2) this.#socket.terminate();
    else this.#ping();
  }

  #onIdle(): void {
    this.#close(closeCodes.normal, 'no message came for two minutes');
  }

  /** The library has begun to close the connection, with the code of the protocol's error. */
  #onError({ message }: Error): void {
    this.#parts.log.debug('A WebSocket broke.', { reason: message });
    this.#terminateLater();
  }

  #onClose(): void {
    clearTimeout(this.#idle);
    clearInterval(this.#heartbeat);
    this.#gone.abort();
    if (this.#session) this.#parts.sessions.leave(this.#session, this);
  }

  /** After the frames of this connection, such as the reason. */
  #close(code: number, reason: string): void {
    this.#end ??= () => this.#socket.close(code, reason);
    this.wake();
    this.#terminateLater();
  }

  /** Does not wait for a client that does not answer the closing handshake. */
  #terminateLater(): void {
    setTimeout(() => this.#socket.terminate(), closeTime).unref();
  }
}

function imageUuidOf(reply: PendingReply): string | undefined {
  if ('read' in reply) return reply.imageUUID;
  return 'item' in reply && 'imageUUID' in reply.item ? reply.item.imageUUID : undefined;
}

function bug() {
  return failure('internalServerError', 'The server failed in a way it should not; its log has the details.');
}
