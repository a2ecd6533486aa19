/**
 * Pillow's `Image.resize(size, Image.LANCZOS)` to the byte (`src/libImaging/Resample.c`, 8 bits per channel): a
 * three-lobed windowed sinc, widened when shrinking, in fixed point with 22 fractional bits, across and then down.
 * libvips's lanczos3 is another filter by a rounding, and the reference pipelines resize with Pillow.
 */
import type { Bitmap } from './pixels.ts';

const LOBES = 3;
const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);

/** The bitmap stretched to exactly width × height. */
export function resizeLanczos(bitmap: Bitmap, width: number, height: number): Bitmap {
  return resizeDown(resizeAcross(bitmap, width), height);
}

function resizeAcross({ width: from, height, data }: Bitmap, width: number): Bitmap {
  if (width === from) return { width, height, data };
  const windows = makeWindows(from, width);
  const out = new Uint8Array(width * height * 3);
  for (let y = 0, o = 0; y < height; y++) {
    for (const { first, weights } of windows) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (let k = 0, i = (y * from + first) * 3; k < weights.length; k++, i += 3) {
        const weight = weights[k]!;
        r += data[i]! * weight;
        g += data[i + 1]! * weight;
        b += data[i + 2]! * weight;
      }
      out[o++] = clip(r);
      out[o++] = clip(g);
      out[o++] = clip(b);
    }
  }
  return { width, height, data: out };
}

function resizeDown({ width, height: from, data }: Bitmap, height: number): Bitmap {
  if (height === from) return { width, height, data };
  const stride = width * 3;
  const out = new Uint8Array(stride * height);
  const sums = new Int32Array(stride);
  for (const [y, { first, weights }] of makeWindows(from, height).entries()) {
    sums.fill(HALF);
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!;
      const row = (first + k) * stride;
      for (let x = 0; x < stride; x++) sums[x]! += data[row + x]! * weight;
    }
    for (let x = 0; x < stride; x++) out[y * stride + x] = clip(sums[x]!);
  }
  return { width, height, data: out };
}

function clip(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}

/** For each output position, the input positions it sees, from `first` on, and their weights in fixed point. */
function makeWindows(from: number, to: number): { first: number; weights: Int32Array }[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = LOBES * stretch;
  return Array.from({ length: to }, (_, position) => {
    const center = (position + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const inverse = 1 / stretch;
    const weights = Array.from({ length: end - first }, (_, k) =>
      lanczos((k + first - center + 0.5) * inverse),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: Int32Array.from(weights, (weight) => toFixedPoint(weight / total)) };
  });
}

function toFixedPoint(weight: number): number {
  return Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
}

function lanczos(x: number): number {
  return x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
