/** The gains of updates that are decomposed along their outputs; gains.ts has the equations. */
import { symbol } from '../../onnx/dim.ts';
import type { Var } from '../../onnx/graph.ts';
import * as op from '../../onnx/operators/index.ts';
import { f32Tensor } from '../../onnx/tensor.ts';
import { joinFloats } from '../../weights/floats.ts';
import type { RowSegment } from '../../weights/weights.ts';
import { type Decomposed, type DecomposedLayer, gainOf, multiply } from './decomposition.ts';
import type { Matrix } from './update.ts';

/** magnitude/‖W + ΔW‖ [n] for the rows of each update. */
export async function rowGains(layer: DecomposedLayer): Promise<Map<Decomposed, Float32Array>> {
  const { squares, products } = await productsOf(layer);
  const gains = new Map<Decomposed, Float32Array>();
  let first = 0;
  for (const update of layer.updates) {
    const { rows } = update.product.down;
    const { outputs } = layer.slot;
    const own = products.subarray(first * outputs, (first + rows) * outputs);
    gains.set(update, gainsOf(update, squares, own));
    first += rows;
  }
  return gains;
}

/** ‖W[n, :]‖² [N], and down·Wᵀ [r, N] for the downs of all updates one after the other. */
function productsOf(layer: DecomposedLayer) {
  const { inputs } = layer.slot;
  const down = joinFloats(layer.updates.map(({ product }) => product.down.values));
  const build = (weight: Var) => ({
    squares: op.reduce('ReduceSumSquare', weight, 1),
    products: op.matmulTransposed(weight.graph.input('down', 'f32', [symbol('r'), inputs]), weight),
  });
  return multiply(layer, build, { down: f32Tensor(down, [down.length / inputs, inputs]) });
}

/** ‖W + s·up·down‖² = ‖W‖² + 2s·Σᵣ up·(W·downᵀ) + s²·up·(down·downᵀ)·upᵀ, row by row. */
function gainsOf(
  { target, product: { up, down }, scale, magnitude }: Decomposed,
  squares: Float32Array,
  products: Float32Array,
): Float32Array {
  const rank = down.rows;
  const gram = gramOf(down);
  const gains = new Float32Array(up.rows);
  for (const { stored, row } of rowsOf(target.segments)) {
    let square = squares[row]!;
    for (let r = 0; r < rank; r++) {
      const factor = scale * up.values[stored * rank + r]!;
      square += 2 * factor * products[r * squares.length + row]!;
      for (let q = 0; q < rank; q++)
        square += factor * scale * up.values[stored * rank + q]! * gram[r * rank + q]!;
    }
    gains[stored] = gainOf(magnitude.values[stored]!, square);
  }
  return gains;
}

function* rowsOf(segments: readonly RowSegment[]): Generator<{ stored: number; row: number }> {
  for (const { stored, at, count } of segments)
    for (let i = 0; i < count; i++) yield { stored: stored + i, row: at + i };
}

/** down·downᵀ [r, r]. */
function gramOf({ rows: rank, columns, values }: Matrix): Float64Array {
  const gram = new Float64Array(rank * rank);
  for (let r = 0; r < rank; r++)
    for (let q = 0; q <= r; q++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += values[r * columns + k]! * values[q * columns + k]!;
      gram[r * rank + q] = sum;
      gram[q * rank + r] = sum;
    }
  return gram;
}
