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

/** Peak signal-to-noise ratio of two 8-bit pictures, in dB; two that are the same have an infinite one. */
export function psnr(found: Uint8Array, expected: Uint8Array): number {
  if (found.length !== expected.length)
    throw new Error(`${found.length} bytes found, ${expected.length} expected`);
  const squares = found.reduce((sum, value, i) => sum + (value - expected[i]!) ** 2, 0);
  return 10 * Math.log10((255 ** 2 * found.length) / squares);
}

/** Prints what a test measured, for `TEST_VERBOSE`. */
export function printMeasured(of: string, value: string): void {
  if (process.env.TEST_VERBOSE) console.info(`${of}: ${value}`);
}

export function printRelativeL2(of: string, relativeL2: number): void {
  printMeasured(of, `relative L2 ${relativeL2.toExponential(2)}`);
}

export function printPsnr(of: string, decibels: number): void {
  printMeasured(of, `PSNR ${decibels.toFixed(1)} dB`);
}
