/** Weights stored in eight bits with one scale and minimum per tensor, as TensorFlow.js quantises them. */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

/** byte·scale + min with `LEAF.affine` = [scale, min], or the tensor itself where it is stored as floats. */
export function affineTensor(w: Weights, leaf: string, shape: readonly number[]): Var {
  const name = w.name(leaf);
  const [part] = w.source.parts(name);
  if (part?.dtype !== 'U8') return w.tensor(leaf, shape);
  if (part.shape.join() !== shape.join()) throw w.source.misshapen(name, part.shape, shape);
  const [scale, min] = w.source.floats(`${name}.affine`);
  const bytes = w.graph.weight(`${part.name}@${part.offset}`, 'u8', shape, part);
  return op.add(op.mul(op.cast(bytes, 'f32'), scale!), min!);
}
