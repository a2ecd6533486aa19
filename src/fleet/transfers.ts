/** The way of plans and results between fronts and workers: byte arrays by name, which expire. */

import { retry } from '../back-off.ts';
import type { RetouchError } from '../error.ts';
import { FleetError } from './errors.ts';
import type { FleetKeys } from './keys.ts';
import type { Redis } from './redis.ts';

export interface Transfers {
  /** Whether what is put is there for every command that is given to Redis afterwards: nothing has to wait for it. */
  readonly isOrdered: boolean;
  /** Milliseconds, roughly, from the end of an image on an engine to the beginning of the next that is sent for it. */
  readonly handover: number;
  /** Throws `transferTooLarge`, at once: then nothing was sent. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined when it was never put, has expired or is lost. */
  get(name: string): Promise<Uint8Array | undefined>;
  delete(...names: readonly string[]): Promise<void>;
}

/** Seconds: longer than any image waits for a worker, and short enough that Redis forgets what fronts left behind. */
const expiry = 86_400;

/** Through Redis itself, in memory: the limit keeps one image from filling it. */
export class RedisTransfers implements Transfers {
  readonly isOrdered = true;
  readonly handover = 25;
  readonly #redis: Redis;
  readonly #keys: FleetKeys;
  readonly #limit: number;

  /** `limit`: most bytes of one array. */
  constructor(redis: Redis, keys: FleetKeys, limit: number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#limit = limit;
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.#limit) {
      const message = `An image needs ${bytes.length} bytes to travel between a server and a worker; expected at most ${this.#limit} (RETOUCH_TRANSFER_LIMIT).`;
      throw new FleetError('transferTooLarge', message);
    }
    return this.#set(this.#keys.transfer(name), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  }

  async #set(key: string, bytes: Buffer): Promise<void> {
    await this.#redis.set(key, bytes, 'EX', expiry);
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return (await this.#redis.getBuffer(this.#keys.transfer(name))) ?? undefined;
  }

  async delete(...names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#redis.unlink(...names.map((name) => this.#keys.transfer(name)));
  }
}

/** The part of a bucket that transfers need; it throws `storageUnreachable` and `storageRefused`. */
export type TransferBucket = {
  put(key: string, object: { bytes: Uint8Array; contentType: string | undefined }): Promise<void>;
  get(key: string): Promise<{ bytes: Uint8Array } | undefined>;
  delete(key: string): Promise<void>;
};

/** Milliseconds between two tries while the bucket does not answer. */
const firstPause = 250;
const longestPause = 15_000;

/** Through a bucket that servers and workers share: Redis then holds no images, and none is too large. */
export class BucketTransfers implements Transfers {
  readonly isOrdered = false;
  readonly handover = 500;
  readonly #bucket: TransferBucket;
  readonly #prefix: string;

  constructor(bucket: TransferBucket, prefix: string) {
    this.#bucket = bucket;
    this.#prefix = `${prefix}transfers/`;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await untilAnswered(() => this.#bucket.put(this.#prefix + name, { bytes, contentType: undefined }));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return (await untilAnswered(() => this.#bucket.get(this.#prefix + name)))?.bytes;
  }

  async delete(...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => untilAnswered(() => this.#bucket.delete(this.#prefix + name))));
  }
}

/** As a command waits in Redis's connection while that is away. Throws `storageRefused`. */
function untilAnswered<Result>(request: () => Promise<Result>): Promise<Result> {
  const isPassing = (error: unknown) => (error as RetouchError).code === 'storageUnreachable';
  return retry(request, { firstPause, longestPause, isPassing, ref: false });
}
