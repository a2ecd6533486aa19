/** An update whose weight is decomposed into lengths and directions (DoRA); gains.ts has the equations. */
import { Graph, type LinearLayer, type Var } from '../../onnx/graph.ts';
import { Session } from '../../onnx/session.ts';
import { type Feeds, floats } from '../../onnx/tensor.ts';
import type { WeightSource } from '../../weights/source.ts';
import { Weights } from '../../weights/weights.ts';
import type { AxisValues, LowRank, Update } from './update.ts';

export type Decomposed = Update & { product: LowRank; magnitude: AxisValues };

/** A layer, its updates that are decomposed along one axis, and its weights. */
export type DecomposedLayer = {
  slot: LinearLayer;
  updates: readonly Decomposed[];
  source: WeightSource;
  threads: number;
};

/** The lengths' parts that need the layer's weight: squares of it alone, and its products with the updates' factors. */
type Parts = { squares: Var; products: Var };

/** @param build the parts, from the layer's weight [N, K] in f32 */
export async function multiply(
  { slot: { name, inputs, outputs }, source, threads }: DecomposedLayer,
  build: (weight: Var) => Parts,
  feeds: Feeds,
): Promise<{ squares: Float32Array; products: Float32Array }> {
  const graph = new Graph(`lengths of ${name}`);
  const w = new Weights(graph, source, { precision: 'f32', fused: true }, undefined, name);
  const { squares, products } = build(w.tensor('weight', [outputs, inputs]));
  graph.output('squares', squares);
  graph.output('products', products);
  const session = await Session.compile(graph, { device: 'cpu', threads, arena: false });
  try {
    const results = await session.run(feeds);
    return { squares: floats(results.squares!), products: floats(results.products!) };
  } finally {
    await session.release();
  }
}

/** LyCORIS adds the smallest step of f32 to a length, so that a column of zeros stays one. */
export function gainOf(magnitude: number, square: number): number {
  return magnitude / (Math.sqrt(Math.max(square, 0)) + 2 ** -23);
}
