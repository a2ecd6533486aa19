/** The tensors that reference implementations computed, and the comparison with ours. */
import path from 'node:path';
import { expect } from 'vitest';
import { type Tensor, floats as values } from '../../src/engine/onnx/tensor.ts';
import { Checkpoint } from '../../src/engine/weights/checkpoint.ts';
import { Tensors } from './checks/check.ts';
import { difference, printMeasured } from './compare.ts';

export function goldenFile(name: string): string {
  return path.join(import.meta.dirname, '../data/golden', name);
}

export function openGolden(name: string): Tensors {
  return new Tensors(goldenFile(name));
}

/** Fails with the tensor's name when `found` is further from `expected` than the tolerance. */
export function expectClose(name: string, found: Tensor, expected: Float32Array, tolerance: number): void {
  const { relativeL2, maxAbs } = difference(values(found), expected);
  const measured = `relative L2 ${relativeL2.toExponential(2)}, max abs ${maxAbs.toExponential(2)}`;
  printMeasured(name, measured);
  expect(relativeL2, `${name}: ${measured}`).toBeLessThanOrEqual(tolerance);
}

/** The same tensors under other names. */
export function renamed(checkpoint: Checkpoint, rename: (name: string) => string): Checkpoint {
  const tensors = new Map(
    [...checkpoint.tensors].map(([name, entry]) => [rename(name), { ...entry, name: rename(name) }]),
  );
  return new Checkpoint(checkpoint.path, tensors, checkpoint.metadata, checkpoint.config);
}
