/** Whether a picture is a photograph or an illustration of flat colours. */

/** Of a channel, between neighbours that count as one colour; what JPEG does to a flat area stays below. */
const tolerance = 6;
/** The share of such neighbours. Measured in test/unit/web-photograph.test.ts. */
const flatShare = 0.72;

/** Pixels as RGBA, of a copy some 256 pixels wide: noise is smoothed away, and what is drawn stays flat. */
export function isPhotograph(data: Uint8ClampedArray | Uint8Array, width: number): boolean {
  return flatness(data, width) < flatShare;
}

/** The share of pixels that are as their right and lower neighbours. */
export function flatness(data: Uint8ClampedArray | Uint8Array, width: number): number {
  const height = Math.floor(data.length / 4 / width);
  let flat = 0;
  for (let y = 0; y + 1 < height; y++) {
    for (let x = 0; x + 1 < width; x++) {
      const at = 4 * (y * width + x);
      if (isNear(data, at, at + 4) && isNear(data, at, at + 4 * width)) flat++;
    }
  }
  return flat / Math.max(1, (width - 1) * (height - 1));
}

function isNear(data: Uint8ClampedArray | Uint8Array, a: number, b: number): boolean {
  for (let channel = 0; channel < 3; channel++)
    if (Math.abs(data[a + channel]! - data[b + channel]!) > tolerance) return false;
  return true;
}
