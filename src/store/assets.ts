/** Stored images, each under a UUID: made images and uploads. */

export const assetFormats = ['jpg', 'png', 'webp'] as const;
export type AssetFormat = (typeof assetFormats)[number];

export type Asset = {
  uuid: string;
  format: AssetFormat;
  bytes: Uint8Array;
  /** Milliseconds until it expires, used or not; undefined for an image that stays as long as it is used. */
  ttl?: number;
  /** Owner; unknown for an image that was found without its record. */
  account?: string;
};

export type PutOptions = {
  /** Survives a power failure as well. */
  durable?: boolean;
  /** Most bytes that the owner may have stored with this image. */
  quota?: number;
};

export interface AssetStore {
  /** Complete or absent, also after a crash. Throws `assetWriteFailed`, `storageLimitReached`. */
  put(asset: Asset, options?: PutOptions): Promise<void>;
  /** Counts as a use. Undefined once the image has expired. */
  get(uuid: string): Promise<Asset | undefined>;
  /** Whether `get` would find it; no use. */
  has(uuid: string): Promise<boolean>;
  delete(uuid: string): Promise<void>;
  /** Removes images past their expiry, and those without one that were not used for `retention` milliseconds. */
  sweep(retention: number): Promise<void>;
}
