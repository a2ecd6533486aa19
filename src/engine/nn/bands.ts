/** Row-wise parts of a network in bands of rows, which bounds the memory of intermediate results. */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Compute } from '../weights/weights.ts';

/**
 * f(matrices) for an `f` that treats every row on its own: norms, linear layers and activations, but no attention.
 * Matrices [S, …] give matrices of S rows. Without `bandRows` all rows are one band.
 */
export function inBands(
  matrices: readonly Var[],
  { bandRows }: Compute,
  f: (matrices: readonly Var[]) => Var[],
): Var[] {
  return bandRows === undefined ? f(matrices) : op.byRows(bandRows, matrices, f);
}
