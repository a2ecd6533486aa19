/**
 * The structural similarity of two pictures, 1 for the same: Wang et al. 2004, on the luma, in even windows of 7×7 pixels
 * with sample covariances, as scikit-image's `structural_similarity` has it by default.
 */
import type { Bitmap } from '../src/engine/image/pixels.ts';

const side = 7;
const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];

export function ssim(a: Bitmap, b: Bitmap): number {
  const { width, height } = a;
  const [x, y] = [luma(a), luma(b)];
  const product = (p: Float64Array, q: Float64Array) => p.map((value, i) => value * q[i]!);
  const sums = [x, y, product(x, x), product(y, y), product(x, y)].map((values) => integral(values, width));
  const count = side * side;
  let total = 0;
  for (let row = 0; row + side <= height; row++) {
    for (let column = 0; column + side <= width; column++) {
      const [sx, sy, sxx, syy, sxy] = sums.map((table) => windowSum(table, width, row, column) / count);
      const unbiased = count / (count - 1);
      const [vx, vy] = [unbiased * (sxx! - sx! * sx!), unbiased * (syy! - sy! * sy!)];
      const covariance = unbiased * (sxy! - sx! * sy!);
      total +=
        ((2 * sx! * sy! + c1) * (2 * covariance + c2)) / ((sx! * sx! + sy! * sy! + c1) * (vx + vy + c2));
    }
  }
  return total / ((height - side + 1) * (width - side + 1));
}

function luma({ width, height, data }: Bitmap): Float64Array {
  return Float64Array.from({ length: width * height }, (_, i) => {
    return 0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!;
  });
}

/** Summed-area table, with a leading row and column of zeros. */
function integral(values: Float64Array, width: number): Float64Array {
  const stride = width + 1;
  const table = new Float64Array(stride * (values.length / width + 1));
  for (let i = 0; i < values.length; i++) {
    const at = (Math.floor(i / width) + 1) * stride + (i % width) + 1;
    table[at] = values[i]! + table[at - 1]! + table[at - stride]! - table[at - stride - 1]!;
  }
  return table;
}

function windowSum(table: Float64Array, width: number, row: number, column: number): number {
  const stride = width + 1;
  const [top, bottom] = [row * stride + column, (row + side) * stride + column];
  return table[bottom + side]! - table[bottom]! - table[top + side]! + table[top]!;
}
