/**
 * What is sent to others: webhooks and uploads. They are written down in the transaction that makes them due, and stay
 * until they were received or given up, so that a crash delays them and loses none. One that was received in the moment
 * of a crash is sent again: at least once, under the same id.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { backOff } from '../../back-off.ts';
import { RetouchError } from '../../error.ts';
import type { Log } from '../../log.ts';
import type { NetErrorCode } from '../../net/errors.ts';
import type { Delivery, DeliveryStore } from '../../store/deliveries.ts';

/** Sends, or throws why not. */
export type Send = (delivery: Delivery, signal: AbortSignal) => Promise<void>;

export type OutboxOptions = {
  deliveries: DeliveryStore;
  /** Tries before one is given up. */
  maxAttempts: number;
  /** Milliseconds before the second try, doubled up to `longestDelay`. */
  firstDelay?: number;
  longestDelay?: number;
  log: Log;
};

export type OutboxHandlers = {
  send: Send;
  /** Called once per delivery, when it arrived or was given up. An error thrown here makes the delivery be tried again. */
  onEnd: (delivery: Delivery, error: RetouchError | undefined) => void;
};

/** Receivers that hang hold up others only when there are as many of them. */
const maxAtOnce = 32;

export class Outbox {
  readonly #options: Required<OutboxOptions>;
  readonly #closing = new AbortController();
  readonly #underWay = new Map<string, Promise<void>>();
  #handlers: OutboxHandlers | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OutboxOptions) {
    this.#options = { firstDelay: 250, longestDelay: 8000, ...options };
  }

  start(handlers: OutboxHandlers): void {
    this.#handlers = handlers;
    this.wake();
  }

  /** To be called when something was added. */
  wake(): void {
    if (this.#closing.signal.aborted || !this.#handlers) return;
    clearTimeout(this.#timer);
    try {
      this.#sendDue(this.#handlers);
    } catch (error) {
      this.#options.log.error('The outbox cannot be read; it is tried again.', { error });
      this.#timer = setTimeout(() => this.wake(), this.#options.longestDelay);
    }
  }

  /** Stops what is being sent; it is sent again after the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await Promise.all(this.#underWay.values());
  }

  #sendDue(handlers: OutboxHandlers): void {
    const now = Date.now();
    const pending = this.#options.deliveries
      .pending(2 * maxAtOnce)
      .filter(({ uuid }) => !this.#underWay.has(uuid));
    for (const delivery of pending) {
      if (this.#underWay.size >= maxAtOnce) return;
      if (delivery.due > now) {
        this.#timer = setTimeout(() => this.wake(), delivery.due - now);
        return;
      }
      const work = this.#try(delivery, handlers).finally(() => {
        this.#underWay.delete(delivery.uuid);
        this.wake();
      });
      this.#underWay.set(delivery.uuid, work);
    }
  }

  /** Never rejects. */
  async #try(delivery: Delivery, { send, onEnd }: OutboxHandlers): Promise<void> {
    let failure: RetouchError | undefined;
    try {
      await send(delivery, this.#closing.signal);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      failure = toRetouchError(error);
    }
    try {
      this.#end(delivery, failure, onEnd);
    } catch (error) {
      // Still in the outbox, but not at once again: whatever hinders the writing needs time to go.
      this.#options.log.error('The end of a delivery cannot be written down.', {
        kind: delivery.kind,
        error,
      });
      await sleep(this.#options.longestDelay, undefined, { signal: this.#closing.signal }).catch(() => {});
    }
  }

  #end(delivery: Delivery, failure: RetouchError | undefined, onEnd: OutboxHandlers['onEnd']): void {
    const { deliveries, maxAttempts, log } = this.#options;
    const { uuid, kind, attempts } = delivery;
    if (!failure) {
      onEnd(delivery, undefined);
      deliveries.remove(uuid);
      return;
    }
    const { code, message: reason } = failure;
    if (attempts + 1 >= maxAttempts || isPermanent(code)) {
      log.warn(`A ${kind} was given up.`, { delivery: uuid, attempts: attempts + 1, code, reason });
      onEnd(delivery, failure);
      deliveries.giveUp(uuid, `${code}: ${reason}`);
    } else {
      log.info(`A ${kind} failed and is tried again.`, { delivery: uuid, attempts: attempts + 1, code });
      deliveries.postpone(uuid, Date.now() + this.#delay(attempts));
    }
  }

  /** With jitter, so that many that failed together do not come back together. */
  #delay(failures: number): number {
    const { firstDelay, longestDelay } = this.#options;
    return Math.round(backOff(failures, firstDelay, longestDelay) * (0.75 + Math.random() / 4));
  }
}

/** Another time gives the same. */
function isPermanent(code: string): boolean {
  const codes: string[] = ['addressRefused', 'urlRefused'] satisfies NetErrorCode[];
  return codes.includes(code) || code === 'mediaNotFound';
}

function toRetouchError(error: unknown): RetouchError {
  if (error instanceof RetouchError) return error;
  return new RetouchError(
    'internalError',
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  );
}
