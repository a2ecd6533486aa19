/** How two tensors differ: the two figures every parity test is about. */
export type Difference = { maxAbs: number; relativeL2: number };

export function difference(found: ArrayLike<number>, expected: ArrayLike<number>): Difference {
  if (found.length !== expected.length)
    throw new Error(`${found.length} values found, ${expected.length} expected`);
  let maxAbs = 0;
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = found[i]! - expected[i]!;
    // NaN compares false with everything: a tensor that holds one must not pass.
    if (Number.isNaN(d)) return { maxAbs: Number.NaN, relativeL2: Number.NaN };
    maxAbs = Math.max(maxAbs, Math.abs(d));
    error += d * d;
    norm += expected[i]! ** 2;
  }
  return { maxAbs, relativeL2: Math.sqrt(error / Math.max(norm, 1e-30)) };
}
