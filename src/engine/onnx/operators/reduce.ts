/** Reductions over one axis, which is kept with size 1. */
import type { Var } from '../graph.ts';
import { i64 } from './constant.ts';

type Reduction = 'ReduceMax' | 'ReduceMean' | 'ReduceSum' | 'ReduceSumSquare';

export function reduce(op: Reduction, x: Var, axis: number): Var {
  const at = axis < 0 ? axis + x.rank : axis;
  const shape = x.shape.map((dim, i) => (i === at ? 1 : dim));
  return x.graph.emit(op, [x, i64(x.graph, [at])], [{ dtype: x.dtype, shape }], { keepdims: 1 })[0]!;
}
