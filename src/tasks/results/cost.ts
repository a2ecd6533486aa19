/**
 * The cost of an image, from the `price` of its model's manifest. Per image, the price is of a reference picture, and work
 * grows with pixels × steps: perImage · (width · height · steps) / (the reference's). Per second, it is of the seconds in
 * which the engine made the image.
 */

import type { Price } from '../../store/manifest.ts';

export type Work = { width: number; height: number; steps: number; seconds: number };

/** In the currency of the price; USD on the wire. */
export function costOf(price: Price, { width, height, steps, seconds }: Work): number {
  if ('perSecond' in price) return round(price.perSecond * seconds);
  const { width: w, height: h, steps: s } = price.of;
  return round((price.perImage * width * height * steps) / (w * h * s));
}

/** To a millionth of a cent: what is beyond is noise of binary fractions. */
function round(cost: number): number {
  return Number(cost.toFixed(8));
}
