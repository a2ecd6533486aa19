/**
 * Pillow's `Image.resize` to the byte (`src/libImaging/Resample.c`, 8 bits per channel): a kernel widened when
 * shrinking, in fixed point with 22 fractional bits, across and then down. libvips's kernels differ by a rounding, and
 * the reference pipelines resize with Pillow.
 */
import type { Bitmap } from './pixels.ts';

/** A filter that is zero beyond `support` pixels from its middle. */
type Kernel = { support: number; weigh: (x: number) => number };

/** A three-lobed windowed sinc. */
const lanczos: Kernel = { support: 3, weigh: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) };
/** Linear interpolation. */
const triangle: Kernel = { support: 1, weigh: (x) => Math.max(1 - Math.abs(x), 0) };
/** Keys' cubic with a = -1/2. */
const bicubic: Kernel = { support: 2, weigh: (x) => cubic(Math.abs(x), -0.5) };

const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);

/** The bitmap stretched to exactly width × height as `Image.LANCZOS` does. */
export function resizeLanczos(bitmap: Bitmap, width: number, height: number): Bitmap {
  return resize(bitmap, width, height, lanczos);
}

/** The bitmap stretched to exactly width × height as `Image.BICUBIC` does. */
export function resizeBicubic(bitmap: Bitmap, width: number, height: number): Bitmap {
  return resize(bitmap, width, height, bicubic);
}

/** The bitmap stretched to exactly width × height as `Image.BILINEAR` does: antialiased, unlike bilinear.ts. */
export function resizeTriangle(bitmap: Bitmap, width: number, height: number): Bitmap {
  return resize(bitmap, width, height, triangle);
}

function resize(bitmap: Bitmap, width: number, height: number, kernel: Kernel): Bitmap {
  return resizeDown(resizeAcross(bitmap, width, kernel), height, kernel);
}

function resizeAcross({ width: from, height, data }: Bitmap, width: number, kernel: Kernel): Bitmap {
  if (width === from) return { width, height, data };
  const windows = makeWindows(from, width, kernel);
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

function resizeDown({ width, height: from, data }: Bitmap, height: number, kernel: Kernel): Bitmap {
  if (height === from) return { width, height, data };
  const stride = width * 3;
  const out = new Uint8Array(stride * height);
  const sums = new Int32Array(stride);
  for (const [y, { first, weights }] of makeWindows(from, height, kernel).entries()) {
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
function makeWindows(from: number, to: number, kernel: Kernel): { first: number; weights: Int32Array }[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = kernel.support * stretch;
  return Array.from({ length: to }, (_, position) => {
    const center = (position + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const inverse = 1 / stretch;
    const weights = Array.from({ length: end - first }, (_, k) =>
      kernel.weigh((k + first - center + 0.5) * inverse),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: Int32Array.from(weights, (weight) => toFixedPoint(weight / total)) };
  });
}

function toFixedPoint(weight: number): number {
  return Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function cubic(x: number, a: number): number {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
