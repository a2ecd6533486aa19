import type { StoredType } from '../../src/engine/weights/stored.ts';

/** A tensor to write: normally distributed numbers, or a constant if `std` is 0. */
export type Tensor = { name: string; dtype: StoredType; shape: number[]; mean: number; std: number };

/** About unit gain at the networks' widths. */
export const weightStd = 0.02;

/** Weights, biases and norms of a checkpoint by their names, with values of the size that trained ones have. */
export function tensor(name: string, dtype: StoredType, shape: number[], std = weightStd): Tensor {
  if (shape.length > 1) return { name, dtype, shape, mean: 0, std };
  // Norms begin at 1. Equal tensors would be kept once by the runtime, so that none is constant.
  const isGain = /norm[^.]*\.(weight|scale)$/.test(name);
  return { name, dtype, shape, mean: isGain ? 1 : 0, std: 0.01 };
}

export function constant(name: string, value: number): Tensor {
  return { name, dtype: 'F32', shape: [], mean: value, std: 0 };
}
