/**
 * DoRA (Liu et al., arXiv 2402.09353): W' = m·(W + ΔW)/‖W + ΔW‖, the length taken over each row. With g = m/‖W + ΔW‖
 * that is g·W + g·ΔW: a factor for each output, and a low-rank update whose B is multiplied with it. The lengths need
 * every weight once; ONNX Runtime multiplies them, at 2·r operations a weight.
 */
import { symbol } from '../../onnx/dim.ts';
import { Graph, type LinearLayer } from '../../onnx/graph.ts';
import * as op from '../../onnx/operators/index.ts';
import { Session } from '../../onnx/session.ts';
import { f32Tensor, floats } from '../../onnx/tensor.ts';
import { joinFloats } from '../../weights/floats.ts';
import type { WeightSource } from '../../weights/source.ts';
import { type RowSegment, Weights } from '../../weights/weights.ts';
import type { Network } from './layers.ts';
import type { LowRank, Update } from './update.ts';

type Decomposed = Update & { product: LowRank; magnitude: Float32Array };

/** Replaces magnitudes by gains g, yielding the fraction done before each layer. */
export async function* measureGains(
  updates: readonly Update[],
  sources: Readonly<Record<Network, { source: WeightSource }>>,
  threads: number,
): AsyncGenerator<number, Update[]> {
  const decomposed = updates.filter((update): update is Decomposed => update.magnitude !== undefined);
  const bySlot = Map.groupBy(decomposed, ({ target }) => target.slot);
  const gains = new Map<Update, Float32Array>();
  let done = 0;
  for (const [slot, list] of bySlot) {
    yield done++ / bySlot.size;
    const { source } = sources[list[0]!.target.network];
    const { squares, products } = await multiply(slot, list, source, threads);
    let row = 0;
    for (const update of list) {
      gains.set(update, gainOf(update, squares, products, row, slot.outputs));
      row += update.product.down.rows;
    }
  }
  return updates.map((update) => ({ ...update, gain: gains.get(update) }));
}

/** ‖W[n, :]‖² [N], and down·Wᵀ [r, N] for the downs of all updates one after the other. */
async function multiply(
  { name, inputs, outputs }: LinearLayer,
  updates: readonly Decomposed[],
  source: WeightSource,
  threads: number,
): Promise<{ squares: Float32Array; products: Float32Array }> {
  const graph = new Graph(`lengths of ${name}`);
  const w = new Weights(graph, source, { precision: 'f32', fused: true }, undefined, name);
  const weight = w.tensor('weight', [outputs, inputs]);
  graph.output('squares', op.reduce('ReduceSumSquare', weight, 1));
  graph.output('products', op.matmulTransposed(graph.input('down', 'f32', [symbol('r'), inputs]), weight));
  const session = await Session.compile(graph, { device: 'cpu', threads, arena: false });
  try {
    const down = joinFloats(updates.map(({ product }) => product.down.values));
    const results = await session.run({ down: f32Tensor(down, [down.length / inputs, inputs]) });
    return { squares: floats(results.squares!), products: floats(results.products!) };
  } finally {
    await session.release();
  }
}

/** ‖W + s·up·down‖² = ‖W‖² + 2s·Σᵣ up·(W·downᵀ) + s²·up·(down·downᵀ)·upᵀ, row by row. */
function gainOf(
  { target, product: { up, down }, scale, magnitude }: Decomposed,
  squares: Float32Array,
  products: Float32Array,
  firstRow: number,
  outputs: number,
): Float32Array {
  const rank = down.rows;
  const gram = gramOf(down.values, rank, down.columns);
  const gain = new Float32Array(up.rows);
  for (const { stored, row } of rowsOf(target.segments)) {
    let square = squares[row]!;
    for (let r = 0; r < rank; r++) {
      const factor = scale * up.values[stored * rank + r]!;
      square += 2 * factor * products[(firstRow + r) * outputs + row]!;
      for (let q = 0; q < rank; q++)
        square += factor * scale * up.values[stored * rank + q]! * gram[r * rank + q]!;
    }
    gain[stored] = magnitude[stored]! / Math.sqrt(square);
  }
  return gain;
}

function* rowsOf(segments: readonly RowSegment[]): Generator<{ stored: number; row: number }> {
  for (const { stored, at, count } of segments)
    for (let i = 0; i < count; i++) yield { stored: stored + i, row: at + i };
}

function gramOf(values: Float32Array, rank: number, columns: number): Float64Array {
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
