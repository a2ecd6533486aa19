/** Eight-bit weights with one scale for each output: the form of the CPU's integer product. */
import { bitsOf, indexOfLargest } from './magnitudes.ts';
import { roundHalfUp } from './rounding.ts';
import { transposeBytes } from './transpose.ts';

/**
 * W [N, K] row-major to i8 [K, N] (the order MatMulInteger takes) and f32 scales [N] with
 * W[n, k] ≈ values[k, n]·scale[n], scale[n] = max|W[n, :]|/127.
 */
export function quantizeColumns(weight: Float32Array, outputs: number, inputs: number): Columns {
  const columns = emptyColumns(outputs, inputs);
  placeRows(columns, weight, 0);
  return columns;
}

export type Columns = { values: Int8Array<ArrayBuffer>; scale: Float32Array<ArrayBuffer> };

export function emptyColumns(outputs: number, inputs: number): Columns {
  return { values: new Int8Array(inputs * outputs), scale: new Float32Array(outputs) };
}

/** Rounds the rows of W in `weight`, of which the first is row `row`. */
export function placeRows(columns: Columns, weight: Float32Array, row: number): void {
  const inputs = columns.values.length / columns.scale.length;
  const bits = bitsOf(weight);
  placeTiles(columns, { rows: weight.length / inputs, row }, (n, rounded, at) => {
    const from = n * inputs;
    const largest = Math.abs(weight[indexOfLargest(bits, from, from + inputs)]!);
    roundScaled(weight.subarray(from, from + inputs), largest === 0 ? 0 : 127 / largest, rounded, at);
    return largest / 127;
  });
}

/**
 * Rounds rows that are stored as codes of eight-bit floats: w = values[code]·factor. A row has at most 256 different
 * numbers, so they are rounded once and the row is looked up.
 *
 * @param values of all codes; the low seven bits of a code grow with the magnitude of its number
 * @param factors one for each row, or one for all
 * @returns whether all numbers are finite
 */
export function placeCodes(
  columns: Columns,
  { codes, values, factors }: { codes: Uint8Array; values: Float32Array; factors: Float32Array },
  row: number,
): boolean {
  const inputs = columns.values.length / columns.scale.length;
  const scaled = new Float32Array(values.length);
  const integers = new Int8Array(values.length);
  let allFinite = true;
  placeTiles(columns, { rows: codes.length / inputs, row }, (n, rounded, at) => {
    const factor = factors[factors.length > 1 ? n : 0]!;
    const from = n * inputs;
    let most = 0;
    for (let k = from; k < from + inputs; k++) {
      const magnitude = codes[k]! & 0x7f;
      if (magnitude > most) most = magnitude;
    }
    for (let code = 0; code < values.length; code++) scaled[code] = values[code]! * factor;
    const largest = Math.abs(scaled[most]!);
    allFinite &&= Number.isFinite(largest);
    roundScaled(scaled, largest === 0 ? 0 : 127 / largest, integers, 0);
    for (let k = 0; k < inputs; k++) rounded[at + k] = integers[codes[from + k]!]!;
    return largest / 127;
  });
  return allFinite;
}

/** Copies rows that are stored as integers with a factor each, or one for all: nothing is rounded again. */
export function copyRows(
  columns: Columns,
  { values: stored, factors }: { values: Int8Array; factors: Float32Array },
  row: number,
): void {
  const inputs = columns.values.length / columns.scale.length;
  placeTiles(columns, { rows: stored.length / inputs, row }, (n, rounded, at) => {
    rounded.set(stored.subarray(n * inputs, (n + 1) * inputs), at);
    return factors[factors.length > 1 ? n : 0]!;
  });
}

/** Rows transposed together: each write of a tile fills a cache line. */
const tile = 64;

/** @param round writes the integers of one row to `rounded` from `at`, and returns the row's scale */
function placeTiles(
  { values, scale }: Columns,
  { rows, row }: { rows: number; row: number },
  round: (n: number, rounded: Int8Array, at: number) => number,
): void {
  const inputs = values.length / scale.length;
  // A cache line more than whole words of a row: rows at a distance of a power of two would share a few sets of the L1 cache.
  const stride = Math.ceil(inputs / 4) * 4 + 64;
  const rounded = new Int8Array(tile * stride);
  for (let first = 0; first < rows; first += tile) {
    const count = Math.min(tile, rows - first);
    for (let n = 0; n < count; n++) scale[row + first + n] = round(first + n, rounded, n * stride);
    transposeBytes({ bytes: rounded, stride, rows: count, columns: inputs }, values, {
      stride: scale.length,
      at: row + first,
    });
  }
}

function roundScaled(numbers: Float32Array, inverse: number, rounded: Int8Array, at: number): void {
  for (let i = 0; i < numbers.length; i++) rounded[at + i] = roundHalfUp(numbers[i]! * inverse);
}
