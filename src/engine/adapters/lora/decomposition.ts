/** An update whose weight is decomposed into lengths and directions (DoRA); gains.ts has the equations. */
import type { LinearLayer } from '../../onnx/graph.ts';
import type { WeightSource } from '../../weights/source.ts';
import type { AxisValues, LowRank, Update } from './update.ts';

export type Decomposed = Update & { product: LowRank; magnitude: AxisValues };

/** A layer, its updates that are decomposed along one axis, and its weights. */
export type DecomposedLayer = {
  slot: LinearLayer;
  updates: readonly Decomposed[];
  source: WeightSource;
  threads: number;
};

/** LyCORIS adds the smallest step of f32 to a length, so that a column of zeros stays one. */
export function gainOf(magnitude: number, square: number): number {
  return magnitude / (Math.sqrt(Math.max(square, 0)) + 2 ** -23);
}
