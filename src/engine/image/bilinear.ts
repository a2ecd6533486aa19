/**
 * Resizing without antialiasing, as the vision networks were fed when they were trained: each output pixel is a mean of
 * the four input pixels around one point.
 */
import type { Bitmap } from './pixels.ts';
import type { Size } from './sizes.ts';

/**
 * Which input point an output pixel is: `corner`: i·from/to (TensorFlow's default), `align-corners`:
 * i·(from-1)/(to-1), `half-pixel`: (i+½)·from/to-½ (OpenCV).
 */
export type Coordinates = 'corner' | 'align-corners' | 'half-pixel';

/** [height, width, 3] bytes to [3, to.height, to.width], 0 … 255, not rounded. */
export function resizeBilinear(bitmap: Bitmap, to: Size, coordinates: Coordinates): Float32Array {
  const { width, height, data } = bitmap;
  const columns = points(width, to.width, coordinates);
  const area = to.width * to.height;
  const out = new Float32Array(3 * area);
  let at = 0;
  for (const { low: y0, high: y1, part: v } of points(height, to.height, coordinates)) {
    for (const { low: x0, high: x1, part: u } of columns) {
      for (let c = 0; c < 3; c++) {
        const pixel = (y: number, x: number) => data[(y * width + x) * 3 + c]!;
        const upper = pixel(y0, x0) + (pixel(y0, x1) - pixel(y0, x0)) * u;
        const lower = pixel(y1, x0) + (pixel(y1, x1) - pixel(y1, x0)) * u;
        out[c * area + at] = upper + (lower - upper) * v;
      }
      at += 1;
    }
  }
  return out;
}

function points(from: number, to: number, coordinates: Coordinates) {
  const ratio = coordinates === 'align-corners' && to > 1 ? (from - 1) / (to - 1) : from / to;
  const shift = coordinates === 'half-pixel' ? 0.5 : 0;
  return Array.from({ length: to }, (_, i) => {
    const point = Math.max((i + shift) * ratio - shift, 0);
    const low = Math.min(Math.floor(point), from - 1);
    return { low, high: Math.min(Math.ceil(point), from - 1), part: point - low };
  });
}
