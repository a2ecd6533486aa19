/**
 * The mask of a face, a rectangle with a blurred edge, and the region of the image that is repainted. Both follow
 * AUTOMATIC1111's "only masked" inpainting (`modules/processing.py`, `modules/masking.py`), which ADetailer uses.
 */

import type { Box } from '../image/box.ts';
import type { Bitmap } from '../image/pixels.ts';
import { nearestPreferredSize, type Size } from '../image/sizes.ts';

/**
 * How much of each pixel is new, 0 … 1: a rectangle blurred by a separable kernel is the product of a profile across
 * and one down, each as long as the image's side.
 */
export type Mask = { across: Float64Array; down: Float64Array };

/** The whole pixels of the box, grown by `padding` on each side and filled, with edges blurred by a Gaussian of σ `blur`. */
export function faceMask(
  box: Box,
  { width, height }: Size,
  { padding, blur }: { padding: number; blur: number },
): Mask {
  const kernel = gaussian(blur);
  const profile = (from: number, to: number, side: number) => {
    const filled = new Float64Array(side);
    filled.fill(1, Math.max(Math.floor(from) - padding, 0), Math.min(Math.ceil(to) + padding, side));
    return convolve(filled, kernel);
  };
  return {
    across: profile(box.left, box.right, width),
    down: profile(box.top, box.bottom, height),
  };
}

/** Normalised, 2·⌊2.5σ+½⌋+1 wide. */
function gaussian(sigma: number): Float64Array {
  const reach = Math.floor(2.5 * sigma + 0.5);
  if (reach === 0) return Float64Array.of(1);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const total = kernel.reduce((sum, value) => sum + value, 0);
  return kernel.map((value) => value / total);
}

/** Beyond the ends the values are mirrored without repeating the last (OpenCV's BORDER_REFLECT_101). */
function convolve(values: Float64Array, kernel: Float64Array): Float64Array {
  const reach = (kernel.length - 1) / 2;
  const period = Math.max(2 * (values.length - 1), 1);
  const mirrored = (i: number) => {
    const at = ((i % period) + period) % period;
    return values[at < values.length ? at : period - at]!;
  };
  return values.map((_, i) => kernel.reduce((sum, weight, k) => sum + weight * mirrored(i + k - reach), 0));
}

/** As 8-bit grey, [height, width] of the region. */
export function maskPixels(
  { across, down }: Mask,
  region: Box,
): { width: number; height: number; data: Uint8Array } {
  const width = region.right - region.left;
  const height = region.bottom - region.top;
  const data = new Uint8Array(width * height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++)
      data[i] = Math.round(255 * across[region.left + x]! * down[region.top + y]!);
  return { width, height, data };
}

/** Pixels around the mask that the network also sees. */
const surroundings = 32;

/**
 * The part of the image that is worked on, and the size it is worked on at: all that the mask touches and its
 * surroundings, grown to the aspect ratio of the nearest size Kontext was trained at, as far as the image allows.
 */
export function cropRegion({ across, down }: Mask, image: Size): { region: Box; size: Size } {
  const [left, right] = touched(across);
  const [top, bottom] = touched(down);
  const region = {
    left: Math.max(left - surroundings, 0),
    top: Math.max(top - surroundings, 0),
    right: Math.min(right + surroundings, image.width),
    bottom: Math.min(bottom + surroundings, image.height),
  };
  const [width, height] = [region.right - region.left, region.bottom - region.top];
  const size = nearestPreferredSize({ width, height });
  const ratio = size.width / size.height;
  if (width / height > ratio) {
    const more = Math.trunc(width / ratio - height);
    [region.top, region.bottom] = grow(region.top, region.bottom, more, image.height);
  } else {
    const more = Math.trunc(height * ratio - width);
    [region.left, region.right] = grow(region.left, region.right, more, image.width);
  }
  return { region, size };
}

/** From the first pixel that is not black in eight bits to the one after the last. */
function touched(profile: Float64Array): [number, number] {
  const first = profile.findIndex((value) => value * 255 >= 0.5);
  const last = profile.findLastIndex((value) => value * 255 >= 0.5);
  return [first, last + 1];
}

/** Grown by half on both sides, moved back inside 0 … `limit`, and cut where it is longer than that. */
function grow(from: number, to: number, more: number, limit: number): [number, number] {
  const half = Math.floor(more / 2);
  const [start, end] = [from - half, to + more - half];
  const back = Math.max(end - limit, 0);
  const moved = Math.max(start - back, 0);
  return [moved, Math.min(moved + end - start, limit)];
}

/** new·α + old·(1-α) inside the region; outside it the image's bytes stay. `part` is the repainted region. */
export function composite(
  image: Bitmap,
  part: Bitmap,
  { mask, region }: { mask: Mask; region: Box },
): Bitmap {
  // A Buffer's slice would be the same memory.
  const data = new Uint8Array(image.data);
  const alpha = maskPixels(mask, region);
  for (let y = 0, i = 0; y < alpha.height; y++) {
    let at = ((region.top + y) * image.width + region.left) * 3;
    for (let x = 0; x < alpha.width; x++, i++) {
      const a = alpha.data[i]! / 255;
      for (let c = 0; c < 3; c++, at++)
        data[at] = Math.round(a * part.data[3 * i + c]! + (1 - a) * image.data[at]!);
    }
  }
  return { ...image, data };
}
