/** Whether a picture is a photograph or an illustration of flat colours. */

/** Largest difference per channel between neighbours of one colour; JPEG noise in flat areas stays below. */
const tolerance = 6;
/** Smallest share of such pixels in an illustration. Measured in test/unit/web-pages.test.ts. */
const flatShare = 0.72;

/** RGBA pixels of a copy about 256 pixels wide, where noise is averaged out and flat areas stay flat. */
export function isPhotograph(data: Uint8ClampedArray | Uint8Array, width: number): boolean {
  return flatness(data, width) < flatShare;
}

/** The share of pixels that equal their right and lower neighbours within the tolerance. */
function flatness(data: Uint8ClampedArray | Uint8Array, width: number): number {
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
