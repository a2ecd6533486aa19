/**
 * The WebSocket to the server: it is opened again whenever it breaks, and whoever listens is told so that he sends again
 * what still matters to him. Nothing is kept for him here.
 */

import { apiKey, serverOrigin } from './client.ts';
import { type Envelope, readEnvelope, stringifyWire, type Task } from './wire.ts';

export type LineState = 'connecting' | 'open' | 'offline' | 'keyless';

export type LineListener = {
  /** The line is open, for the first time or again. */
  onOpen(): void;
  onState(state: LineState): void;
  onFrame(frame: Envelope): void;
};

/** The server closes a line after two minutes of silence. */
const pingInterval = 45_000;
const [firstPause, longestPause] = [400, 8_000];

export class Line {
  readonly #listener: LineListener;
  #socket: WebSocket | undefined;
  #isOpen = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(listener: LineListener) {
    this.#listener = listener;
    addEventListener('online', () => this.reopen());
    setInterval(() => this.send({ taskType: 'ping', ping: true }), pingInterval);
  }

  /** Now, also when a pause is under way; for a new key too. */
  reopen(): void {
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#open();
  }

  /** False when the line is not open: the listener sends again when it is. */
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
