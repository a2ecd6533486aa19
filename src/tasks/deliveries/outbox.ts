/**
 * Sends webhooks and uploads. A delivery is committed in the transaction that makes it due and stays until it was
 * acknowledged or given up, so that a crash delays deliveries and loses none. One that was acknowledged just before a
 * crash is sent again: delivery is at least once, with a constant id.
 *
 * Accounts take turns, and the concurrent deliveries of an account and of a host are limited, so that a receiver that
 * does not answer delays only its own deliveries.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiErrorCode } from '../../api/errors.ts';
import { backOff } from '../../back-off.ts';
import { RetouchError } from '../../error.ts';
import type { Log } from '../../log.ts';
import type { NetErrorCode } from '../../net/errors.ts';
import type { Delivery, DeliveryStore } from '../../store/deliveries.ts';

/** Sends one delivery; throws when it failed. */
export type Send = (delivery: Delivery, signal: AbortSignal) => Promise<void>;

export type OutboxOptions = {
  deliveries: DeliveryStore;
  /** Attempts before a delivery is given up. */
  maxAttempts: number;
  /** Milliseconds before the second attempt, doubled up to `longestDelay`. */
  firstDelay?: number;
  longestDelay?: number;
  log: Log;
};

export type OutboxHandlers = {
  send: Send;
  /** Called once per delivery, when it was acknowledged or given up. If it throws, the delivery is tried again. */
  onEnd: (delivery: Delivery, error: RetouchError | undefined) => void;
};

/** A receiver may ask for a longer delay (`Retry-After`); an hour at most, because clients may wait for the upload. */
const longestRetryAfter = 3_600_000;

/** Milliseconds; Node.js fires longer timers at once. */
const longestTimer = 2 ** 31 - 1;

/** Most concurrent requests: in all, of one account, and to one host. */
const places = { all: 64, account: 32, host: 8 };

export class Outbox {
  readonly #options: Required<OutboxOptions>;
  readonly #closing = new AbortController();
  readonly #underWay = new Map<string, { delivery: Delivery; work: Promise<void> }>();
  #handlers: OutboxHandlers | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OutboxOptions) {
    this.#options = { firstDelay: 250, longestDelay: 8000, ...options };
  }

  start(handlers: OutboxHandlers): void {
    this.#handlers = handlers;
    this.wake();
  }

  /** Call after a delivery was added. */
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

  /** Aborts running deliveries; they are sent again after the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await Promise.all([...this.#underWay.values()].map(({ work }) => work));
  }

  #sendDue(handlers: OutboxHandlers): void {
    const { deliveries } = this.#options;
    let wait: number | undefined;
    // A round may reach the limit of an account or a host, which the next round then skips.
    for (let begun = true; begun && this.#underWay.size < places.all; ) {
      begun = false;
      const running = [...this.#underWay.values()].map(({ delivery }) => delivery);
      const shares = new Shares(running);
      const exclusions = { deliveries: running.map(({ uuid }) => uuid), ...shares.full() };
      const next = deliveries.next(places.all - running.length, exclusions);
      wait = next.wait;
      for (const delivery of next.due) {
        if (!shares.take(delivery)) continue;
        begun = true;
        this.#begin(delivery, handlers);
      }
    }
    if (wait !== undefined) this.#timer = setTimeout(() => this.wake(), Math.min(wait, longestTimer));
  }

  #begin(delivery: Delivery, handlers: OutboxHandlers): void {
    const work = this.#try(delivery, handlers).finally(() => {
      this.#underWay.delete(delivery.uuid);
      this.wake();
    });
    this.#underWay.set(delivery.uuid, { delivery, work });
  }

  /** Never rejects. */
  async #try(delivery: Delivery, { send, onEnd }: OutboxHandlers): Promise<void> {
    let failure: RetouchError | undefined;
    try {
      await send(delivery, this.#closing.signal);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      failure = this.#toRetouchError(error);
    }
    try {
      this.#end(delivery, failure, onEnd);
    } catch (error) {
      // The delivery stays in the outbox, but is not retried at once: the cause of the failed write may take time to
      // pass.
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
    if (attempts + 1 >= maxAttempts || isPermanent(failure)) {
      log.warn(`A ${kind} was given up.`, { delivery: uuid, attempts: attempts + 1, code, reason });
      onEnd(delivery, failure);
      deliveries.giveUp(uuid, `${code}: ${reason}`);
    } else {
      log.info(`A ${kind} failed and is tried again.`, { delivery: uuid, attempts: attempts + 1, code });
      deliveries.postpone(uuid, retryAfterOf(failure) ?? this.#delay(attempts));
    }
  }

  /** Clients read this text, so it has no stack and no path. */
  #toRetouchError(error: unknown): RetouchError {
    if (error instanceof RetouchError) return error;
    this.#options.log.error('A delivery failed because of a bug.', { error });
    return new RetouchError(
      'internalServerError' satisfies ApiErrorCode,
      'The server failed in a way it should not; its log has the details.',
    );
  }

  /** With jitter, so that deliveries that failed together are not retried together. */
  #delay(failures: number): number {
    const { firstDelay, longestDelay } = this.#options;
    return Math.round(backOff(failures, firstDelay, longestDelay) * (0.75 + Math.random() / 4));
  }
}

/** Counts the running deliveries of each account and each host. */
class Shares {
  readonly #accounts = new Map<string, number>();
  readonly #hosts = new Map<string, number>();

  constructor(running: readonly Delivery[]) {
    for (const delivery of running) this.#count(delivery);
  }

  /** False when a limit is reached. */
  take(delivery: Delivery): boolean {
    const { account, host } = delivery;
    if ((this.#accounts.get(account) ?? 0) >= places.account) return false;
    if ((this.#hosts.get(host) ?? 0) >= places.host) return false;
    this.#count(delivery);
    return true;
  }

  full(): { accounts: string[]; hosts: string[] } {
    const atLimit = (counts: Map<string, number>, limit: number) =>
      [...counts].flatMap(([name, count]) => (count >= limit ? [name] : []));
    return { accounts: atLimit(this.#accounts, places.account), hosts: atLimit(this.#hosts, places.host) };
  }

  #count({ account, host }: Delivery): void {
    this.#accounts.set(account, (this.#accounts.get(account) ?? 0) + 1);
    this.#hosts.set(host, (this.#hosts.get(host) ?? 0) + 1);
  }
}

/** A 4xx means that the request is wrong, and a retry does not help; these are the temporary ones. */
const passingStatuses = [408, 425, 429];

/** Whether the same request would fail again. */
function isPermanent({ code, details: { status } }: RetouchError): boolean {
  const codes: string[] = ['addressRefused', 'urlRefused'] satisfies NetErrorCode[];
  if (codes.includes(code) || code === 'mediaNotFound' || code === 'databaseCorrupt') return true;
  return typeof status === 'number' && status >= 400 && status < 500 && !passingStatuses.includes(status);
}

/** Milliseconds of the receiver's `Retry-After` (RFC 9110, 10.2.3), clamped. */
function retryAfterOf({ details: { retryAfter } }: RetouchError): number | undefined {
  if (typeof retryAfter !== 'string') return undefined;
  const milliseconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - Date.now();
  return Number.isNaN(milliseconds) ? undefined : Math.min(Math.max(milliseconds, 0), longestRetryAfter);
}
