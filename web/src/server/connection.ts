/**
 * The WebSocket to the server. It reconnects whenever it breaks. The listener hears of each new connection and sends its
 * messages again; none is queued here.
 */

import { apiKey, serverOrigin } from './client.ts';
import { type Envelope, readEnvelope, stringifyWire, type Task } from './wire.ts';

export type ConnectionState = 'connecting' | 'open' | 'offline' | 'keyless';

export type ConnectionListener = {
  /** The connection is open, for the first time or again. */
  onOpen(): void;
  onState(state: ConnectionState): void;
  onFrame(frame: Envelope): void;
};

/** The server closes a connection after two minutes without a message. */
const pingInterval = 45_000;
const [firstPause, longestPause] = [400, 4_000];

export class Connection {
  readonly #listener: ConnectionListener;
  #socket: WebSocket | undefined;
  #isOpen = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(listener: ConnectionListener) {
    this.#listener = listener;
    addEventListener('online', () => this.reopen());
    setInterval(() => this.send({ taskType: 'ping', ping: true }), pingInterval);
  }

  /** Reconnects at once, also during a pause. Also used after the key changed. */
  reopen(): void {
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#open();
  }

  /** False when the connection is not open: the listener sends again in onOpen. */
  send(...tasks: Task[]): boolean {
    if (!this.#isOpen) return false;
    this.#socket!.send(stringifyWire(tasks));
    return true;
  }

  #open(): void {
    const socket = new WebSocket(`${serverOrigin.replace(/^http/, 'ws')}/v1`);
    this.#socket = socket;
    this.#isOpen = false;
    this.#listener.onState(this.#failures === 0 ? 'connecting' : 'offline');
    socket.onopen = () =>
      socket.send(stringifyWire([{ taskType: 'authentication', apiKey: apiKey.get() ?? 'none' }]));
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#hear(readEnvelope(data));
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#onClose();
    };
  }

  #hear(frame: Envelope): void {
    if (frame.errors.some(({ code }) => code === 'invalidApiKey' || code === 'missingApiKey')) {
      this.#socket!.onclose = null;
      this.#socket!.close();
      this.#isOpen = false;
      this.#listener.onState('keyless');
      return;
    }
    if (frame.data.some(({ taskType }) => taskType === 'authentication')) {
      this.#isOpen = true;
      this.#failures = 0;
      this.#listener.onState('open');
      this.#listener.onOpen();
    } else this.#listener.onFrame(frame);
  }

  #onClose(): void {
    this.#isOpen = false;
    this.#failures += 1;
    this.#listener.onState('offline');
    const pause = Math.min(longestPause, firstPause * 2 ** (this.#failures - 1));
    this.#retry = setTimeout(() => this.#open(), pause * (0.75 + Math.random() / 2));
  }
}
