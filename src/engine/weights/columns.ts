/** Eight-bit weights with one scale for each output: what the integer product of the CPU takes. */

/**
 * W [N, K] row-major to i8 [K, N] (the order MatMulInteger takes) and f32 scales [N] with
 * W[n, k] ≈ values[k, n]·scale[n], scale[n] = max|W[n, :]|/127.
 */
export function quantizeColumns(
  weight: Float32Array,
  outputs: number,
  inputs: number,
): { values: Int8Array; scale: Float32Array } {
  const values = new Int8Array(inputs * outputs);
  const scale = new Float32Array(outputs);
  const tile = 64; // columns written together: the transposed writes of one tile share cache lines
  for (let first = 0; first < outputs; first += tile) {
    const last = Math.min(first + tile, outputs);
    const inverse = new Float64Array(tile);
    for (let n = first; n < last; n++) {
      let largest = 0;
      for (let k = n * inputs; k < (n + 1) * inputs; k++) largest = Math.max(largest, Math.abs(weight[k]!));
      scale[n] = largest / 127;
      inverse[n - first] = largest === 0 ? 0 : 127 / largest;
    }
    for (let k = 0; k < inputs; k++)
      for (let n = first; n < last; n++)
        values[k * outputs + n] = Math.round(weight[n * inputs + k]! * inverse[n - first]!);
  }
  return { values, scale };
}
