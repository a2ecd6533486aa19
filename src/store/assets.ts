/** Stored images, each under a UUID: made images and uploads. */

export const assetFormats = ['jpg', 'png', 'webp'] as const;
export type AssetFormat = (typeof assetFormats)[number];

export const mediaTypes: Readonly<Record<AssetFormat, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
};

export type Asset = {
  uuid: string;
  format: AssetFormat;
  bytes: Uint8Array;
  /** Milliseconds until the expiry, used or not; undefined for an image that is kept while it is used. */
  ttl?: number;
  /** Owner; undefined for an image that was found without its record. */
  account?: string;
};

export type PutOptions = {
  /** Whether the record must survive a power failure. */
  durable?: boolean;
  /** The owner's quota in bytes, this image included. */
  quota?: number;
  /** A storage that is away is waited for until this is aborted; without it the write soon fails. */
  patience?: AbortSignal;
};

export interface AssetStore {
  /** Complete or absent, also after a crash. Throws `assetWriteFailed`, `storageLimitReached`. */
  put(asset: Asset, options?: PutOptions): Promise<void>;
  /** Counts as a use. Undefined once the image has expired. */
  get(uuid: string): Promise<Asset | undefined>;
  /** Whether `get` would find it. Does not count as a use. */
  has(uuid: string): Promise<boolean>;
  delete(uuid: string): Promise<void>;
  /** By which a client reads the image; `publicUrl` is the address by which it reaches this server. */
  urlOf(uuid: string, format: AssetFormat, publicUrl: string): Promise<string>;
  /** Removes images past their expiry, and those without one that were not used for `retention` milliseconds. */
  sweep(retention: number): Promise<void>;
}

/** Names of stored images are made of UUIDs and nothing else, so that none leads elsewhere. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** An image that this server answers itself. */
export function frontUrl(uuid: string, format: AssetFormat, publicUrl: string): string {
  return `${publicUrl}/images/${uuid}.${format}`;
}
