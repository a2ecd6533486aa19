/**
 * Images cut into bands of rows, [N, C, R, W]: band i holds the rows from i·R on. Operators run over one band at a time
 * in an ONNX Scan, so that every value between their first and last is as large as a band.
 */
import { productDim, symbol } from '../dim.ts';
import type { Var } from '../graph.ts';
import { i64 } from './constant.ts';
import { add, mul } from './elementwise.ts';
import { concat, sliceAxis, squeeze, transpose, unsqueeze } from './shape.ts';

const count = symbol('bands');

export function isCut(x: Var): boolean {
  return x.dim(0) !== 1;
}

/**
 * [1, C, H, W] to bands [N, C, R, W].
 *
 * @param rows R, i64 [1], a divisor of H known only when the graph runs
 */
export function cutImage(x: Var, rows: Var): Var {
  const { graph } = x;
  const channels = x.dim(1) as number;
  // 0 keeps the size of the axis.
  const target = concat([i64(graph, [channels, -1]), rows, i64(graph, [0])], 0);
  const shape = [channels, count, symbol('rows'), x.dim(3)];
  const [cut] = graph.emit('Reshape', [x, target], [{ dtype: x.dtype, shape }]);
  return transpose(cut!, [1, 0, 2, 3]);
}

/** Bands [N, C, R, W] to [1, C, H, W]. */
export function joinBands(x: Var): Var {
  const { graph } = x;
  const channels = x.dim(1) as number;
  const target = i64(graph, [1, channels, -1]);
  const turned = transpose(x, [1, 0, 2, 3]);
  const [size] = graph.emit('Shape', [x], [{ dtype: 'i64', shape: [1] }], { start: 3, end: 4 });
  const shape = [1, channels, productDim([x.dim(0), x.dim(2)]), x.dim(3)];
  const [joined] = graph.emit('Reshape', [turned, concat([target, size!], 0)], [{ dtype: x.dtype, shape }]);
  return joined!;
}

/** f of every band [1, C, R, W] alone. */
export function byBands(x: Var, f: (band: Var) => Var): Var {
  return scan([x], ([band]) => [f(band!)])[0]!;
}

/**
 * f of every band with the row above and the row below it, [1, C, R + 2, W]; beyond the image these are zeros. `inside`,
 * [1, 1, R + 2, 1], is 0 for the rows beyond the image and 1 for all others.
 */
export function byBandsAndNeighbours(x: Var, f: (rows: Var, inside: Var) => Var[]): Var[] {
  const withRows = (bands: Var) => {
    const beyond = mul(sliceAxis(sliceAxis(bands, 0, 0, 1), 2, 0, 1), 0);
    const above = concat([beyond, sliceAxis(sliceAxis(bands, 2, -1), 0, 0, -1)], 0);
    const below = concat([sliceAxis(sliceAxis(bands, 2, 0, 1), 0, 1), beyond], 0);
    return [above, bands, below];
  };
  const ones = add(mul(sliceAxis(sliceAxis(x, 1, 0, 1), 3, 0, 1), 0), 1);
  return scan([...withRows(x), concat(withRows(ones), 2)], ([above, band, below, inside]) =>
    f(concat([above!, band!, below!], 2), inside!),
  );
}

/** f of the items of every tensor along its first axis, which it sees as batches of one; its results stacked. */
function scan(inputs: readonly Var[], f: (items: Var[]) => Var[]): Var[] {
  const [first] = inputs as [Var];
  const items = inputs.map(({ dtype, shape }) => ({ dtype, shape: shape.slice(1) }));
  const body = first.graph.nested('band', items, (given) =>
    f(given.map((item) => unsqueeze(item, 0))).map((out) => squeeze(out, 0)),
  );
  const stacked = body.outputs.map(({ dtype, shape }) => ({ dtype, shape: [first.dim(0), ...shape] }));
  return first.graph.emit('Scan', inputs, stacked, { body: { body }, num_scan_inputs: inputs.length });
}
