/** Guide images as vision encoders take them: the steps of transformers' CLIPImageProcessor and SiglipImageProcessor. */
import type { Box } from '../../image/box.ts';
import { type Bitmap, cropBitmap } from '../../image/pixels.ts';
import { resizeBicubic } from '../../image/resample.ts';
import type { VisionConfig } from '../../models/vision-config.ts';

type Square = Pick<VisionConfig, 'size' | 'crop' | 'mean' | 'deviation'>;

/** [3, S, S]: resized with Pillow's bicubic kernel to a square, its middle or all of it, and normalised. */
export function prepareGuideImage(bitmap: Bitmap, { size, crop, mean, deviation }: Square): Float32Array {
  const { data } = crop ? middleSquare(bitmap, size) : resizeBicubic(bitmap, size, size);
  const area = size * size;
  const out = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++)
    for (let p = 0; p < area; p++) out[c * area + p] = (data[3 * p + c]! / 255 - mean[c]!) / deviation[c]!;
  return out;
}

/** The short side resized to `size`, the long one cut off on both sides alike. */
function middleSquare({ width, height, data }: Bitmap, size: number): Bitmap {
  const long = (side: number, short: number) => Math.trunc((size * side) / short);
  const resized =
    width <= height
      ? resizeBicubic({ width, height, data }, size, long(height, width))
      : resizeBicubic({ width, height, data }, long(width, height), size);
  const left = Math.floor((resized.width - size) / 2);
  const top = Math.floor((resized.height - size) / 2);
  return cropBitmap(resized, { width: size, height: size }, { left, top });
}

/** The guide image of the negative pass of classifier-free guidance: black (diffusers `FluxIPAdapterMixin`, x-flux). */
export function blackImage(size: number): Bitmap {
  return { width: size, height: size, data: new Uint8Array(3 * size * size) };
}

/** How far a face's square reaches beyond it on each side. */
const faceMargin = 0.3;

/** The square around a face, with hair and chin, as far as the image goes. */
export function cropAround(bitmap: Bitmap, { left, top, right, bottom }: Box): Bitmap {
  const wanted = (1 + 2 * faceMargin) * Math.max(right - left, bottom - top);
  const side = Math.max(1, Math.round(Math.min(wanted, bitmap.width, bitmap.height)));
  const start = (from: number, to: number, whole: number) =>
    Math.round(Math.min(Math.max((from + to - side) / 2, 0), whole - side));
  const [x, y] = [start(left, right, bitmap.width), start(top, bottom, bitmap.height)];
  return cropBitmap(bitmap, { width: side, height: side }, { left: x, top: y });
}
