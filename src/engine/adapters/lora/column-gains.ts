/** The gains of updates that are decomposed along their inputs; gains.ts has the equations. */
import { symbol } from '../../onnx/dim.ts';
import type { Var } from '../../onnx/graph.ts';
import * as op from '../../onnx/operators/index.ts';
import { f32Tensor } from '../../onnx/tensor.ts';
import { type Decomposed, type DecomposedLayer, gainOf, multiply } from './decomposition.ts';
import type { Matrix } from './update.ts';

/** magnitude/‖W + ΔW‖ [K] for the columns of the rows that each update has. */
export async function columnGains(layer: DecomposedLayer): Promise<Map<Decomposed, Float32Array>> {
  const { squares, products } = await productsOf(layer);
  const { inputs } = layer.slot;
  const gains = new Map<Decomposed, Float32Array>();
  let first = 0;
  for (const [i, update] of layer.updates.entries()) {
    const { columns: rank } = update.product.up;
    const own = products.subarray(first * inputs, (first + rank) * inputs);
    gains.set(update, gainsOf(update, squares.subarray(i * inputs, (i + 1) * inputs), own));
    first += rank;
  }
  return gains;
}

/**
 * For the rows n of each update, Σₙ W[n, k]² [updates, K], and upᵀ·W [r, K] for the ups of all updates one after the other.
 */
function productsOf(layer: DecomposedLayer) {
  const { updates, slot } = layer;
  const { outputs } = slot;
  const ranks = updates.reduce((sum, { product }) => sum + product.up.columns, 0);
  const build = (weight: Var) => {
    const { graph } = weight;
    const rows = graph.input('rows', 'f32', [symbol('updates'), outputs]);
    return {
      squares: op.matmul(rows, op.mul(weight, weight)),
      products: op.matmul(graph.input('up', 'f32', [symbol('r'), outputs]), weight),
    };
  };
  return multiply(layer, build, {
    rows: f32Tensor(rowsOf(updates, outputs), [updates.length, outputs]),
    up: f32Tensor(upsOf(updates, outputs, ranks), [ranks, outputs]),
  });
}

/** 1 where an update has the row, else 0: [updates, N]. */
function rowsOf(updates: readonly Decomposed[], outputs: number): Float32Array {
  const rows = new Float32Array(updates.length * outputs);
  for (const [i, { target }] of updates.entries())
    for (const { at, count } of target.segments) rows.fill(1, i * outputs + at, i * outputs + at + count);
  return rows;
}

/** upᵀ of every update at the rows of the layer, one after the other: [r, N]. */
function upsOf(updates: readonly Decomposed[], outputs: number, ranks: number): Float32Array {
  const ups = new Float32Array(ranks * outputs);
  let first = 0;
  for (const { target, product } of updates) {
    const { columns: rank, values } = product.up;
    for (const { stored, at, count } of target.segments)
      for (let n = 0; n < count; n++)
        for (let r = 0; r < rank; r++) ups[(first + r) * outputs + at + n] = values[(stored + n) * rank + r]!;
    first += rank;
  }
  return ups;
}

/** ‖W + s·up·down‖² = ‖W‖² + 2s·Σᵣ down·(upᵀ·W) + s²·downᵀ·(upᵀ·up)·down, column by column. */
function gainsOf(
  { product: { up, down }, scale, magnitude }: Decomposed,
  squares: Float32Array,
  products: Float32Array,
): Float32Array {
  const { rows: rank, columns, values } = down;
  const gram = gramOf(up);
  return magnitude.values.map((length, k) => {
    let square = squares[k]!;
    for (let r = 0; r < rank; r++) {
      const factor = scale * values[r * columns + k]!;
      square += 2 * factor * products[r * columns + k]!;
      for (let q = 0; q < rank; q++)
        square += factor * scale * values[q * columns + k]! * gram[r * rank + q]!;
    }
    return gainOf(length, square);
  });
}

/** upᵀ·up [r, r]. */
function gramOf({ rows, columns: rank, values }: Matrix): Float64Array {
  const gram = new Float64Array(rank * rank);
  for (let n = 0; n < rows; n++)
    for (let r = 0; r < rank; r++)
      for (let q = 0; q < rank; q++) gram[r * rank + q]! += values[n * rank + r]! * values[n * rank + q]!;
  return gram;
}
