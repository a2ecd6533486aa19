/** Images in S3 or in what speaks its API; owner, use and expiry stay in the database of this server. */

import { retry } from '../back-off.ts';
import { RetouchError } from '../error.ts';
import {
  type Asset,
  type AssetFormat,
  type AssetStore,
  assetFormats,
  frontUrl,
  isUuid,
  mediaTypes,
  type PutOptions,
} from './assets.ts';
import type { Bucket } from './bucket.ts';
import type { StoreErrorCode } from './errors.ts';
import { isOver, type Lifetimes } from './lifetimes.ts';
import { remembered } from './remembered.ts';

/** How clients read an image: through this server, by a signed URL of the bucket, or below a public address of it. */
export type ImageUrls = { by: 'front' } | { by: 'presigned' } | { by: 'public'; base: string };

export type S3Options = {
  bucket: Bucket;
  /** Start of every key; with it several servers share a bucket. */
  prefix: string;
  urls: ImageUrls;
  lifetimes: Lifetimes;
};

/** Tries of a request that no one waits for longer. */
const maxTries = 3;
/** Milliseconds. */
const firstPause = 250;
const longestPause = 15_000;
/** Milliseconds for which an answer about the bucket's health is good. */
const probeInterval = 5_000;
/** Seconds; the longest that Signature Version 4 allows. */
const longestPresigned = 7 * 86_400;
/** Formats that are remembered, so that reading seldom asks for a key that is not there. */
const maxRemembered = 10_000;

/** Keys are `<prefix>3f/3f0c5c8e-….png`, as the paths of FileAssetStore. */
export class S3AssetStore implements AssetStore {
  readonly #bucket: Bucket;
  readonly #prefix: string;
  readonly #urls: ImageUrls;
  readonly #lifetimes: Lifetimes;
  readonly #formats = new Map<string, AssetFormat>();

  private constructor({ bucket, prefix, urls, lifetimes }: S3Options) {
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#urls = urls;
    this.#lifetimes = lifetimes;
  }

  /** Throws `storageUnreachable`, `storageRefused`. */
  static async open(options: S3Options): Promise<S3AssetStore> {
    const store = new S3AssetStore(options);
    for (const uuid of options.lifetimes.unmeasured())
      options.lifetimes.measure(uuid, (await store.#find(uuid))?.size ?? 0);
    return store;
  }

  async put(
    { uuid, format, bytes, ttl, account }: Asset,
    { durable = false, quota, patience }: PutOptions = {},
  ): Promise<void> {
    const name = uuid.toLowerCase();
    // Before the object is there: a lifetime without an object ends by itself, an object without one never would.
    this.#lifetimes.begin(name, { account, ttl, bytes: bytes.length, quota });
    const object = { bytes, contentType: mediaTypes[format] };
    try {
      await this.#persist(() => this.#bucket.put(this.#key(name, format), object), patience);
    } catch (error) {
      patience?.throwIfAborted();
      const message = `An image of ${bytes.length} bytes could not be stored: ${(error as Error).message}`;
      throw new RetouchError('assetWriteFailed' satisfies StoreErrorCode, message, {}, { cause: error });
    }
    this.#remember(name, format);
    if (durable) await this.#lifetimes.flush();
  }

  async get(uuid: string): Promise<Asset | undefined> {
    if (!isUuid(uuid)) return undefined;
    const name = uuid.toLowerCase();
    const lifetime = this.#lifetimes.find(name);
    if (isOver(lifetime)) return undefined;
    for (const format of this.#likelyFormats(name)) {
      const object = await this.#persist(() => this.#bucket.get(this.#key(name, format)));
      if (!object) continue;
      this.#remember(name, format);
      const { bytes } = object;
      return { uuid: name, format, bytes, ...this.#lifetimes.use(name, lifetime, bytes.length) };
    }
    return undefined;
  }

  async has(uuid: string): Promise<boolean> {
    if (!isUuid(uuid) || isOver(this.#lifetimes.find(uuid.toLowerCase()))) return false;
    return (await this.#find(uuid.toLowerCase())) !== undefined;
  }

  async delete(uuid: string): Promise<void> {
    if (!isUuid(uuid)) return;
    const name = uuid.toLowerCase();
    const formats = this.#formats.has(name) ? [this.#formats.get(name)!] : assetFormats;
    await Promise.all(
      formats.map((format) => this.#persist(() => this.#bucket.delete(this.#key(name, format)))),
    );
    this.#formats.delete(name);
    this.#lifetimes.end(name);
  }

  async sweep(retention: number): Promise<void> {
    for (const uuid of this.#lifetimes.over(retention)) await this.delete(uuid);
  }

  async urlOf(uuid: string, format: AssetFormat, publicUrl: string): Promise<string> {
    const key = this.#key(uuid.toLowerCase(), format);
    if (this.#urls.by === 'public') return `${this.#urls.base.replace(/\/+$/, '')}/${key}`;
    if (this.#urls.by === 'front') return frontUrl(uuid, format, publicUrl);
    const { ttl = Number.POSITIVE_INFINITY } = this.#lifetimes.find(uuid.toLowerCase()) ?? {};
    const seconds = Math.max(1, Math.min(longestPresigned, Math.floor(ttl / 1000)));
    return this.#bucket.presign(key, seconds);
  }

  /** A sentence, or undefined while the bucket answers. Never rejects. */
  readonly problem = remembered(probeInterval, () =>
    this.#bucket.sizeOf(`${this.#prefix}.probe`).then(
      () => undefined,
      (error: Error) => error.message,
    ),
  );

  #key(name: string, format: AssetFormat): string {
    return `${this.#prefix}${name.slice(0, 2)}/${name}.${format}`;
  }

  async #find(name: string): Promise<{ size: number } | undefined> {
    for (const format of this.#likelyFormats(name)) {
      const size = await this.#persist(() => this.#bucket.sizeOf(this.#key(name, format)));
      if (size === undefined) continue;
      this.#remember(name, format);
      return { size };
    }
    return undefined;
  }

  #likelyFormats(name: string): readonly AssetFormat[] {
    const known = this.#formats.get(name);
    return known === undefined ? assetFormats : [known];
  }

  #remember(name: string, format: AssetFormat): void {
    this.#formats.set(name, format);
    if (this.#formats.size > maxRemembered) this.#formats.delete(this.#formats.keys().next().value!);
  }

  /**
   * Tries again while the bucket does not answer, up to `maxTries`. With `patience` until that is aborted, and also while
   * it refuses, as it does after its keys were changed: a finished image is not lost for that. Throws the reason of
   * `patience`, `storageUnreachable`, `storageRefused`.
   */
  #persist<Result>(action: () => Promise<Result>, patience?: AbortSignal): Promise<Result> {
    const isPassing = (error: unknown, failures: number) => {
      const isAway = (error as RetouchError).code === ('storageUnreachable' satisfies StoreErrorCode);
      return patience !== undefined || (isAway && failures < maxTries);
    };
    return retry(action, { firstPause, longestPause, isPassing, signal: patience });
  }
}
