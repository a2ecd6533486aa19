/** Norms of transformers. */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

/** LayerNorm with learned scale and bias: [S, D]. */
export function layerNorm(x: Var, w: Weights, epsilon: number): Var {
  const width = x.dim(-1) as number;
  return op.layerNorm(x, w.tensor('weight', [width]), w.tensor('bias', [width]), epsilon);
}

/** LN(x)·(1 + scale) + shift without learned parameters: x [S, D], scale and shift [1, D]. */
export function modulatedNorm(x: Var, shift: Var, scale: Var, epsilon = 1e-6): Var {
  const width = x.dim(-1) as number;
  return op.layerNorm(x, op.reshape(op.add(scale, 1), [width]), op.reshape(shift, [width]), epsilon);
}

export function rmsNorm(x: Var, scale: Var, epsilon = 1e-6): Var {
  return op.rmsNorm(x, scale, epsilon);
}
