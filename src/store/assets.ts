/** Stored pictures, each under a UUID: what was made, and later what clients upload. */

export const assetFormats = ['jpg', 'png', 'webp'] as const;
export type AssetFormat = (typeof assetFormats)[number];

export type Asset = { uuid: string; format: AssetFormat; bytes: Uint8Array };

export interface AssetStore {
  /** Complete or not there at all, also after a crash. Throws `assetWriteFailed`. */
  put(asset: Asset): Promise<void>;
  get(uuid: string): Promise<Asset | undefined>;
  delete(uuid: string): Promise<void>;
}
