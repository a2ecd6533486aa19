/** Eight-bit products: u8 activations with one scale per row, i8 weights with one scale per column. */
import { dimsEqual } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { scalar } from './constant.ts';
import { abs, max, mul } from './elementwise.ts';
import { reduce } from './reduce.ts';
import { reshape } from './shape.ts';

/** Symmetric quantisation per row: [M, K] f32 gives u8 around 128 and the scales [M, 1] that undo it. */
export function quantizeRows(x: Var): { values: Var; scale: Var } {
  const scale = max(mul(reduce('ReduceMax', abs(x), 1), 1 / 127), 1e-12);
  const rows = reshape(scale, [x.dim(0)]);
  const [values] = x.graph.emit(
    'QuantizeLinear',
    [x, rows, zeroPoints(rows)],
    [{ dtype: 'u8', shape: x.shape }],
    {
      axis: 0,
    },
  );
  return { values: values!, scale };
}

/** 128 for every row, shared by all matrices of equal height in the same graph or subgraph. */
function zeroPoints(rows: Var): Var {
  const { graph } = rows;
  const known = shared.get(graph.place) ?? new Map<string, Var>();
  shared.set(graph.place, known);
  const key = String(rows.dim(0));
  const zeros = known.get(key) ?? expand(scalar(graph, 128, 'u8'), rows);
  known.set(key, zeros);
  return zeros;
}

const shared = new WeakMap<object, Map<string, Var>>();

/** A scalar repeated in the shape of another value. */
export function expand(value: Var, like: Var): Var {
  const { graph, shape } = like;
  const [sizes] = graph.emit('Shape', [like], [{ dtype: 'i64', shape: [like.rank] }]);
  return graph.emit('Expand', [value, sizes], [{ dtype: value.dtype, shape }])[0]!;
}

/** (values − 128)·weight·columns: u8 [M, K] and i8 [K, N] with f32 [N] give f32 [M, N], still to be scaled by row. */
export function matmulInteger(values: Var, weight: Var, columns: Var): Var {
  const fits = values.dtype === 'u8' && weight.dtype === 'i8' && dimsEqual(values.dim(1), weight.dim(0));
  if (!fits || !dimsEqual(weight.dim(1), columns.dim(0)))
    throw graphError(`matmulInteger: ${values}, ${weight} and ${columns} do not multiply`);
  const zero = scalar(values.graph, 128, 'u8');
  const result = { dtype: 'f32', shape: [values.dim(0), weight.dim(1)] } as const;
  const inputs = [values, weight, scalar(values.graph, 1, 'f32'), columns, zero];
  return values.graph.emit('MatMulIntegerToFloat', inputs, [result], {}, 'com.microsoft')[0]!;
}

/** i8 [K, N], and f32 [N], the factors of its columns. */
export type Columns = { weight: Var; columns: Var };

/** x·W for x f32 [M, K], rounded to eight bits row by row. */
export function matmulColumns(x: Var, { weight, columns }: Columns): Var {
  const { values, scale } = quantizeRows(x);
  return mul(matmulInteger(values, weight, columns), scale);
}
