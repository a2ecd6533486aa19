/** Operators over bands of a matrix's rows: every value between the first and the last of them is as large as a band. */
import { symbol } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { i64, scalar } from './constant.ts';
import { add, div, mul, sub } from './elementwise.ts';
import { concat, reshape, squeeze, takeRows } from './shape.ts';

/**
 * Applies `f` to bands of at most `rows` rows in an ONNX Scan and stacks its results. For an `f` that treats every row
 * on its own the result is f(matrices) bit for bit. The bands have equal heights; the last one is padded with rows of
 * zeros, whose results are dropped.
 *
 * @param matrices [S, …] f32, cut along their first axis
 * @param f from bands [B, …] to matrices of B rows
 */
export function byRows(rows: number, matrices: readonly Var[], f: (bands: Var[]) => Var[]): Var[] {
  const [first] = matrices;
  if (!first || matrices.some(({ rank, dtype }) => rank !== 2 || dtype !== 'f32'))
    throw graphError(`byRows takes f32 matrices, got ${matrices.join(', ')}`);
  const { graph } = first;
  const length = (x: Var) =>
    graph.emit('Shape', [x], [{ dtype: 'i64', shape: [1] }], { start: 0, end: 1 })[0]!;
  const one = i64(graph, [1]);
  const ceilDiv = (a: Var, b: Var) => div(sub(add(a, b), one), b);
  const total = length(first);
  const count = ceilDiv(total, i64(graph, [rows]));
  const height = ceilDiv(total, count);
  const [range] = graph.emit(
    'Range',
    [scalar(graph, 0, 'i64'), squeeze(mul(count, height), 0), squeeze(height, 0)],
    [{ dtype: 'i64', shape: [symbol('bands')] }],
  );
  const starts = reshape(range!, [symbol('bands'), 1]);
  const band = symbol('band');
  const cut = (x: Var, start: Var): Var => {
    const shape = [band, ...x.shape.slice(1)];
    const ends = [start, add(start, height), i64(graph, [0])];
    const [part] = graph.emit('Slice', [x, ...ends], [{ dtype: 'f32', shape }]);
    const missing = sub(height, length(part!));
    const pads = concat([i64(graph, [0, 0]), missing, i64(graph, [0])], 0);
    return graph.emit('Pad', [part!, pads, scalar(graph, 0, 'f32')], [{ dtype: 'f32', shape }])[0]!;
  };
  const body = graph.nested('band', [{ dtype: 'i64', shape: [1] }], ([start]) =>
    f(matrices.map((matrix) => cut(matrix, start!))),
  );
  const stacked = body.outputs.map(({ dtype, shape }) => ({ dtype, shape: [symbol('bands'), ...shape] }));
  return graph.emit('Scan', [starts], stacked, { body: { body }, num_scan_inputs: 1 }).map((value) => {
    const columns = value.shape.slice(2);
    const flat = reshape(value, [-1, ...columns]);
    return takeRows(flat, total, first.dim(0));
  });
}
