/** Images in memory, before and after the network: 8-bit bitmaps and planar tensors. */
import type { Size } from './sizes.ts';

/** Interleaved RGB, 8 bits: data is [height, width, 3]. */
export type Bitmap = { width: number; height: number; data: Uint8Array };

/** [height, width, 3] bytes to [3, height, width] in -1 … 1. */
export function toPlanar({ width, height, data }: Bitmap): Float32Array {
  const area = width * height;
  const planar = new Float32Array(area * 3);
  for (let i = 0, p = 0; p < area; p++) {
    for (let channel = 0; channel < area * 3; channel += area) planar[channel + p] = data[i++]! / 127.5 - 1;
  }
  return planar;
}

/** The inverse of `toPlanar`: values beyond -1 … 1 are clamped, the rest rounded to the nearest byte, as diffusers does. */
export function fromPlanar(planar: Float32Array, { width, height }: Size): Bitmap {
  const area = width * height;
  const data = new Uint8Array(area * 3);
  for (let i = 0, p = 0; p < area; p++) {
    for (let channel = 0; channel < area * 3; channel += area) {
      const value = planar[channel + p]! / 2 + 0.5;
      data[i++] = Math.round(255 * Math.min(Math.max(value, 0), 1));
    }
  }
  return { width, height, data };
}

/** The bitmap extended right and down to `size` by repeating its last column and row, which adds no visible edge. */
export function padBitmap(bitmap: Bitmap, { width, height }: Size): Bitmap {
  if (bitmap.width === width && bitmap.height === height) return bitmap;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = Math.min(y, bitmap.height - 1) * bitmap.width * 3;
    const row = bitmap.data.subarray(start, start + bitmap.width * 3);
    data.set(row, y * width * 3);
    for (let x = bitmap.width; x < width; x++) data.set(row.subarray(-3), (y * width + x) * 3);
  }
  return { width, height, data };
}

/** A part of the bitmap, by default at its top left, which undoes `padBitmap`. */
export function cropBitmap(
  bitmap: Bitmap,
  { width, height }: Size,
  { left, top }: { left: number; top: number } = { left: 0, top: 0 },
): Bitmap {
  if (bitmap.width === width && bitmap.height === height) return bitmap;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * bitmap.width + left) * 3;
    data.set(bitmap.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}
