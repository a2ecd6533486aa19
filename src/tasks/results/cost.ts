/**
 * The cost of an image, from the `price` of its model's manifest. A price per image is that of a reference picture, and
 * work grows with pixels × steps: perImage · (width · height · steps) / (the reference's). A price per second is
 * multiplied by the engine's seconds for the image.
 */

import type { Price } from '../../store/manifest.ts';

export type Work = { width: number; height: number; steps: number; seconds: number };

/** In the currency of the price; USD on the wire. */
export function costOf(price: Price, { width, height, steps, seconds }: Work): number {
  if ('perSecond' in price) return round(price.perSecond * seconds);
  const { width: w, height: h, steps: s } = price.of;
  return round((price.perImage * width * height * steps) / (w * h * s));
}

/** Rounded to a millionth of a cent, which removes the noise of binary fractions. */
function round(cost: number): number {
  return Number(cost.toFixed(8));
}
