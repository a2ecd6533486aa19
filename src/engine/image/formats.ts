/** Formats that images are read from and written in. */
export type ImageFormat = 'jpg' | 'png' | 'webp';

export type EncodedImage = { bytes: Uint8Array; format: ImageFormat; width: number; height: number };
