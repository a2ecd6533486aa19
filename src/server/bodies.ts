/** Limits the bytes of request bodies in memory: of one request, and of all together. */

import { apiError } from '../api/errors.ts';
import type { Config } from '../config.ts';

/** The share of all bytes that requests without a known key may hold together. */
const unknownShare = 1 / 8;

export type BodyConfig = Pick<Config, 'bodyLimit' | 'bodiesLimit' | 'unauthenticatedBodyLimit'>;

type Pool = { readonly limit: number; held: number };

/** Requests with a known key, and all others: requests without a key cannot exhaust the memory of the first. */
export class Bodies {
  readonly #limits: BodyConfig;
  readonly #known: Pool;
  readonly #unknown: Pool;

  constructor(limits: BodyConfig) {
    this.#limits = limits;
    const together = Math.max(limits.bodiesLimit, limits.bodyLimit);
    this.#known = { limit: together, held: 0 };
    const unknown = Math.max(together * unknownShare, limits.unauthenticatedBodyLimit);
    this.#unknown = { limit: unknown, held: 0 };
  }

  /** Bytes in memory now. */
  get held(): number {
    return this.#known.held + this.#unknown.held;
  }

  begin({ keyKnown }: { keyKnown: boolean }): Holding {
    const { bodyLimit, unauthenticatedBodyLimit } = this.#limits;
    if (keyKnown) return new Holding(this.#known, bodyLimit);
    const limit = Math.min(unauthenticatedBodyLimit, bodyLimit);
    return new Holding(this.#unknown, limit, limit < bodyLimit);
  }
}

/** The bytes of one request or message, which stay in memory until its tasks are answered. */
export class Holding {
  readonly #pool: Pool;
  readonly #limit: number;
  readonly #isForKey: boolean;
  #bytes = 0;

  constructor(pool: Pool, limit: number, isForKey = false) {
    this.#pool = pool;
    this.#limit = limit;
    this.#isForKey = isForKey;
  }

  /** Throws `valueTooLarge` when the announced length exceeds the limit. */
  expect(bytes: number): void {
    if (bytes > this.#limit) throw this.#tooLarge();
  }

  /** Throws `valueTooLarge`, and `serverUnavailable` when all requests together are too large. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#pool.held += bytes;
    if (this.#bytes > this.#limit) throw this.#tooLarge();
    if (this.#pool.held <= this.#pool.limit) return;
    const limit = `${Math.floor(this.#pool.limit)} bytes`;
    const whose = this.#isForKey ? ' without a key in their header' : '';
    throw apiError(
      'serverUnavailable',
      `The bodies of the requests${whose} that the server has at the moment are ${limit} together, as many as it holds; try again.`,
    );
  }

  release(): void {
    this.#pool.held -= this.#bytes;
    this.#bytes = 0;
  }

  #tooLarge() {
    const until = this.#isForKey
      ? ", the limit until the key is known: send it as 'Authorization: Bearer <key>', or over a WebSocket before the tasks"
      : '';
    return apiError('valueTooLarge', `The body of the request is larger than ${this.#limit} bytes${until}.`);
  }
}
