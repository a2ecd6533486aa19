/** Eight-bit weights with one scale for each output: the form of the CPU's integer product. */

/**
 * W [N, K] row-major to i8 [K, N] (the order MatMulInteger takes) and f32 scales [N] with
 * W[n, k] ≈ values[k, n]·scale[n], scale[n] = max|W[n, :]|/127.
 */
export function quantizeColumns(weight: Float32Array, outputs: number, inputs: number): Columns {
  const columns = emptyColumns(outputs, inputs);
  placeRows(columns, weight, 0);
  return columns;
}

export type Columns = { values: Int8Array; scale: Float32Array };

export function emptyColumns(outputs: number, inputs: number): Columns {
  return { values: new Int8Array(inputs * outputs), scale: new Float32Array(outputs) };
}

/** Columns written together: the transposed writes of one tile share cache lines. */
const tile = 64;

/** Rounds the rows of W in `weight`, of which the first is row `row`. */
export function placeRows({ values, scale }: Columns, weight: Float32Array, row: number): void {
  const outputs = scale.length;
  const inputs = values.length / outputs;
  const rows = weight.length / inputs;
  const inverse = new Float64Array(tile);
  for (let first = 0; first < rows; first += tile) {
    const last = Math.min(first + tile, rows);
    for (let n = first; n < last; n++) {
      let largest = 0;
      for (let k = n * inputs; k < (n + 1) * inputs; k++) largest = Math.max(largest, Math.abs(weight[k]!));
      scale[row + n] = largest / 127;
      inverse[n - first] = largest === 0 ? 0 : 127 / largest;
    }
    for (let k = 0; k < inputs; k++)
      for (let n = first; n < last; n++)
        values[k * outputs + row + n] = Math.round(weight[n * inputs + k]! * inverse[n - first]!);
  }
}

/** Copies rows that are stored as integers with a factor each, or one for all: nothing is rounded again. */
export function copyRows(
  { values, scale }: Columns,
  { values: stored, factors }: { values: Int8Array; factors: Float32Array },
  row: number,
): void {
  const outputs = scale.length;
  const inputs = values.length / outputs;
  const rows = stored.length / inputs;
  for (let n = 0; n < rows; n++) scale[row + n] = factors[factors.length > 1 ? n : 0]!;
  for (let first = 0; first < rows; first += tile)
    for (let k = 0; k < inputs; k++)
      for (let n = first; n < Math.min(first + tile, rows); n++)
        values[k * outputs + row + n] = stored[n * inputs + k]!;
}
