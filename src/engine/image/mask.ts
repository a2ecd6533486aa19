/** Masks: grey images over an image, white where it is edited and black where it stays. */

import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { EncodedImage } from './formats.ts';
import { decodeAlpha, decodeImage, encodeImage } from './image-codec.ts';
import type { Bitmap } from './pixels.ts';

/** The pixels of a mask that are edited: white ones (Runware, diffusers), or transparent ones (OpenAI). */
export type MaskSense = 'white' | 'transparent';

/**
 * Converts a mask to a grey PNG of the same size. The sense `white` uses the brightness, composited on black; the sense
 * `transparent` uses only the alpha channel.
 *
 * @throws RetouchError as `decodeImage` does; `maskUnusable` when nothing would be edited, or when the sense is
 * `transparent` and there is no alpha channel
 */
export async function prepareMask(
  bytes: Uint8Array,
  sense: MaskSense,
  pixelLimit?: number,
): Promise<EncodedImage> {
  const alpha = await decodeAlpha(bytes, pixelLimit);
  if (sense === 'transparent') {
    if (!alpha)
      throw unusable(
        'has no alpha channel; expected a PNG or WebP whose transparent pixels are the area to edit',
      );
    return encode(alpha, (i) => 255 - alpha.data[i]!);
  }
  const bitmap = await decodeImage(bytes, pixelLimit);
  // `decodeImage` lays transparency on white; on black it counts for nothing.
  return encode(bitmap, (i) => {
    const opacity = alpha ? alpha.data[i]! : 255;
    return Math.max(brightness(bitmap, i) - (255 - opacity), 0);
  });
}

/** ITU-R BT.601, as Pillow's conversion to `L`. */
function brightness({ data }: Bitmap, i: number): number {
  return Math.round(0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!);
}

function encode({ width, height }: { width: number; height: number }, grey: (i: number) => number) {
  const data = new Uint8Array(width * height * 3);
  let brightest = 0;
  for (let i = 0; i < width * height; i++) {
    const value = grey(i);
    brightest = Math.max(brightest, value);
    data.fill(value, 3 * i, 3 * i + 3);
  }
  if (brightest < 128)
    throw unusable('leaves nothing to edit: no pixel of it is white, or transparent in a mask of OpenAI');
  return encodeImage({ width, height, data }, 'png', 100);
}

function unusable(found: string): RetouchError {
  return new EngineError('maskUnusable', `The mask ${found}.`);
}
