/** Stored pictures, each under a UUID: what was made, and what clients upload. */

export const assetFormats = ['jpg', 'png', 'webp'] as const;
export type AssetFormat = (typeof assetFormats)[number];

export type Asset = {
  uuid: string;
  format: AssetFormat;
  bytes: Uint8Array;
  /** When it goes whether it is used or not, in milliseconds since 1970. */
  expires?: number;
  /** Whose it is; not known for one that was found without its record. */
  account?: string;
};

export interface AssetStore {
  /** Complete or not there at all, also after a crash; `durable`: also after a power failure. Throws `assetWriteFailed`. */
  put(asset: Asset, options?: { durable?: boolean }): Promise<void>;
  /** Whether `get` would find it; does not count as a use. */
  has(uuid: string): Promise<boolean>;
  /** Counts as a use. Undefined from the moment a picture expires. */
  get(uuid: string): Promise<Asset | undefined>;
  delete(uuid: string): Promise<void>;
  /** Removes what has expired, and what has no time of its own and was not used since. */
  sweep(unusedSince: number): Promise<void>;
}
