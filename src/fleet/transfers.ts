/** The way of plans and results between fronts and workers: byte arrays by name, which expire. */

import { FleetError } from './errors.ts';
import type { FleetKeys } from './keys.ts';
import type { Redis } from './redis.ts';

export interface Transfers {
  /** Throws `transferTooLarge`. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined when it was never put, has expired or is lost. */
  get(name: string): Promise<Uint8Array | undefined>;
  delete(...names: readonly string[]): Promise<void>;
}

/** Seconds: longer than any image waits for a worker, and short enough that Redis forgets what fronts left behind. */
const expiry = 86_400;

/** Through Redis itself, in memory: the limit keeps one image from filling it. */
export class RedisTransfers implements Transfers {
  readonly #redis: Redis;
  readonly #keys: FleetKeys;
  readonly #limit: number;

  /** `limit`: most bytes of one array. */
  constructor(redis: Redis, keys: FleetKeys, limit: number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#limit = limit;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.#limit) {
      const message = `An image needs ${bytes.length} bytes to travel between a server and a worker; expected at most ${this.#limit} (RETOUCH_TRANSFER_LIMIT).`;
      throw new FleetError('transferTooLarge', message);
    }
    await this.#redis.set(
      this.#keys.transfer(name),
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      'EX',
      expiry,
    );
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return (await this.#redis.getBuffer(this.#keys.transfer(name))) ?? undefined;
  }

  async delete(...names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#redis.unlink(...names.map((name) => this.#keys.transfer(name)));
  }
}
