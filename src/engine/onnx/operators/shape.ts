/** Operators that move data without arithmetic. */
import {
  addDims,
  type Dim,
  dimsEqual,
  divideDim,
  productDim,
  type Shape,
  scaleDim,
  shapeText,
  sizeOf,
  symbol,
} from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { i64, scalar } from './constant.ts';
import { cast } from './elementwise.ts';

/**
 * At most one axis may be -1 (inferred). An unknown size must stay at its position of the input or, once, be the
 * inferred one: ONNX has no other way to express it.
 */
export function reshape(x: Var, shape: readonly Dim[]): Var {
  const fixed = shape.filter((dim) => dim !== -1);
  const total = productDim(x.shape);
  const rest = inferRest(total, fixed);
  const inferred: Shape = shape.map((dim) =>
    dim === -1 ? (rest ?? productDim(remaining(x.shape, fixed))) : dim,
  );
  const target = productDim(inferred);
  if (sizeOf(x.shape) !== undefined && sizeOf(inferred) !== undefined && !dimsEqual(total, target))
    throw graphError(`reshape ${x} to ${shapeText(inferred)}: ${total} and ${target} elements`);
  let free = shape.includes(-1) ? 0 : 1;
  const wire = shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    if (axis < x.rank && dimsEqual(dim, x.dim(axis))) return 0;
    free -= 1;
    if (free < 0) throw graphError(`reshape ${x} to ${shapeText(shape)}: more than one unknown axis moves`);
    return -1;
  });
  return x.graph.emit('Reshape', [x, i64(x.graph, wire)], [{ dtype: x.dtype, shape: inferred }])[0]!;
}

function inferRest(total: Dim, fixed: readonly Dim[]): Dim | undefined {
  const known = sizeOf(fixed);
  return typeof known === 'number' ? divideDim(total, known) : undefined;
}

function remaining(shape: Shape, fixed: readonly Dim[]): Dim[] {
  const left = [...shape];
  for (const dim of fixed) {
    const at = left.findIndex((other) => dimsEqual(other, dim));
    if (at >= 0) left.splice(at, 1);
  }
  return left;
}

/** Gives `x` the shape `like` has when the graph runs. */
export function reshapeLike(x: Var, like: Var): Var {
  const [shape] = x.graph.emit('Shape', [like], [{ dtype: 'i64', shape: [like.rank] }]);
  return x.graph.emit('Reshape', [x, shape], [{ dtype: x.dtype, shape: like.shape }])[0]!;
}

/** The length of an axis when the graph runs, f32 [1]. */
export function axisLength(x: Var, axis: number): Var {
  x.dim(axis);
  const [length] = x.graph.emit('Shape', [x], [{ dtype: 'i64', shape: [1] }], { start: axis, end: axis + 1 });
  return cast(length!, 'f32');
}

export function transpose(x: Var, perm: readonly number[]): Var {
  if (perm.length !== x.rank) throw graphError(`transpose ${x} by [${perm}]: ${x.rank} axes`);
  return x.graph.emit('Transpose', [x], [{ dtype: x.dtype, shape: perm.map((axis) => x.dim(axis)) }], {
    perm,
  })[0]!;
}

export function concat(parts: readonly Var[], axis: number): Var {
  const [first] = parts;
  if (!first) throw graphError('concat of nothing');
  for (const part of parts) {
    const same = part.rank === first.rank && part.dtype === first.dtype;
    if (!same || part.shape.some((dim, i) => i !== axis && !dimsEqual(dim, first.dim(i))))
      throw graphError(`concat on axis ${axis}: ${first} and ${part} differ elsewhere`);
  }
  if (parts.length === 1) return first;
  const shape = first.shape.map((dim, i) =>
    i === axis ? addDims(...parts.map((part) => part.dim(axis))) : dim,
  );
  return first.graph.emit('Concat', parts, [{ dtype: first.dtype, shape }], { axis })[0]!;
}

/** Splits an axis of known size into parts of the sizes given. */
export function split(x: Var, sizes: readonly number[], axis: number): Var[] {
  const total = sizes.reduce((a, b) => a + b, 0);
  if (x.dim(axis) !== total) throw graphError(`split ${x} on axis ${axis} into [${sizes}]: ${total} in all`);
  const results = sizes.map((size) => ({
    dtype: x.dtype,
    shape: x.shape.map((dim, i) => (i === axis ? size : dim)),
  }));
  return x.graph.emit('Split', [x, i64(x.graph, sizes)], results, { axis });
}

/** Splits the first axis in two, the first part as long as axis 0 of `like` when the graph runs. */
export function splitRows(x: Var, like: Var): [Var, Var] {
  const rest = addDims(x.dim(0), scaleDim(like.dim(0), -1));
  const rows = (name: string, start: Var, end: Var, size: Dim) =>
    x.graph.emit(
      name,
      [x, start, end, i64(x.graph, [0])],
      [{ dtype: x.dtype, shape: [size, ...x.shape.slice(1)] }],
    )[0]!;
  const [shape] = x.graph.emit('Shape', [like], [{ dtype: 'i64', shape: [1] }], { start: 0, end: 1 });
  return [
    rows('Slice', i64(x.graph, [0]), shape!, like.dim(0)),
    rows('Slice', shape!, i64(x.graph, [2n ** 62n]), rest),
  ];
}

/** The first `count` rows, `count` being an i64 [1] known only when the graph runs; `size` names it. */
export function takeRows(x: Var, count: Var, size: Dim): Var {
  const shape = [size, ...x.shape.slice(1)];
  return x.graph.emit(
    'Slice',
    [x, i64(x.graph, [0]), count, i64(x.graph, [0])],
    [{ dtype: x.dtype, shape }],
  )[0]!;
}

/** The rows from `start` on, an i64 [1] known only when the graph runs and possibly past the last row; `size` names them. */
export function rowsFrom(x: Var, start: Var, size: Dim): Var {
  const { graph } = x;
  const shape = [size, ...x.shape.slice(1)];
  const bounds = [x, start, i64(graph, [2n ** 62n]), i64(graph, [0])];
  return graph.emit('Slice', bounds, [{ dtype: x.dtype, shape }])[0]!;
}

/** The block of a matrix between `from` and `to`, i64 [2] known only when the graph runs; ends past its size are its size. */
export function takeBlock(x: Var, from: Var, to: Var, shape: readonly [Dim, Dim]): Var {
  if (x.rank !== 2) throw graphError(`takeBlock takes a matrix, got ${x}`);
  return x.graph.emit('Slice', [x, from, to], [{ dtype: x.dtype, shape }])[0]!;
}

/**
 * An axis cut into `count` blocks whose sizes differ by one at most, block i from ⌊i·size/count⌋: the size is known only
 * when the graph runs. `concat` of the blocks has the axis's size again.
 */
export function blocksOf(x: Var, axis: number, count: number): Var[] {
  if (count === 1) return [x];
  const size = x.dim(axis);
  const bounds = boundsOf(x, axis, count);
  return Array.from({ length: count }, (_, i) => {
    // The last block's size is what the others leave, so that all of them add up to the axis.
    const length = i < count - 1 ? symbol(`${size}/${count}.${i}`) : restOf(size, count);
    const shape = x.shape.map((dim, at) => (at === axis ? length : dim));
    const inputs = [x, bounds[i]!, bounds[i + 1]!, i64(x.graph, [axis])];
    return x.graph.emit('Slice', inputs, [{ dtype: x.dtype, shape }])[0]!;
  });
}

function restOf(size: Dim, count: number): Dim {
  const others = Array.from({ length: count - 1 }, (_, i) => scaleDim(symbol(`${size}/${count}.${i}`), -1));
  return addDims(size, ...others);
}

/** i64 [1] each; all axes of one size in a graph or subgraph share them. */
function boundsOf(x: Var, axis: number, count: number): Var[] {
  const key = `${x.dim(axis)}/${count}`;
  const known = shared.get(x.graph.place) ?? new Map<string, Var[]>();
  shared.set(x.graph.place, known);
  const found = known.get(key);
  if (found) return found;
  const one = [{ dtype: 'i64', shape: [1] }] as const;
  const [size] = x.graph.emit('Shape', [x], one, { start: axis, end: axis + 1 });
  const bounds = Array.from({ length: count + 1 }, (_, i) => {
    const [product] = x.graph.emit('Mul', [size!, i64(x.graph, [i])], one);
    return x.graph.emit('Div', [product!, i64(x.graph, [count])], one)[0]!;
  });
  known.set(key, bounds);
  return bounds;
}

const shared = new WeakMap<object, Map<string, Var[]>>();

/** Columns of `value` before and after those of a matrix. */
export function padColumns(x: Var, before: number, after: number, value = 0): Var {
  if (x.rank !== 2 || x.dtype !== 'f32') throw graphError(`padColumns takes an f32 matrix, got ${x}`);
  if (before === 0 && after === 0) return x;
  const pads = i64(x.graph, [0, before, 0, after]);
  const shape = [x.dim(0), addDims(x.dim(1), before + after)];
  return x.graph.emit('Pad', [x, pads, scalar(x.graph, value, 'f32')], [{ dtype: 'f32', shape }])[0]!;
}

/** Rows of `table` chosen by an i64 index: [V, D] and [L] give [L, D]. */
export function gather(table: Var, index: Var, axis = 0): Var {
  if (index.dtype !== 'i64') throw graphError(`gather takes an i64 index, got ${index}`);
  const shape = [...table.shape.slice(0, axis), ...index.shape, ...table.shape.slice(axis + 1)];
  return table.graph.emit('Gather', [table, index], [{ dtype: table.dtype, shape }], { axis })[0]!;
}

/** Adds an axis of size 1. */
export function unsqueeze(x: Var, axis: number): Var {
  const shape = x.shape.toSpliced(axis, 0, 1);
  return x.graph.emit('Unsqueeze', [x, i64(x.graph, [axis])], [{ dtype: x.dtype, shape }])[0]!;
}

/** Removes an axis of size 1. */
export function squeeze(x: Var, axis: number): Var {
  if (x.dim(axis) !== 1) throw graphError(`squeeze axis ${axis} of ${x}: its size is not 1`);
  const shape = x.shape.toSpliced(axis, 1);
  return x.graph.emit('Squeeze', [x, i64(x.graph, [axis])], [{ dtype: x.dtype, shape }])[0]!;
}

/** The items from `start` to before `end` of an axis; negative ones count from its end, which is the default end. */
export function sliceAxis(x: Var, axis: number, start: number, end?: number): Var {
  const at = (place: number) => (place < 0 ? addDims(x.dim(axis), place) : place);
  const size = addDims(end === undefined ? x.dim(axis) : at(end), scaleDim(at(start), -1));
  const ends = i64(x.graph, [end ?? 2n ** 62n]);
  const shape = x.shape.toSpliced(axis, 1, size);
  const inputs = [x, i64(x.graph, [start]), ends, i64(x.graph, [axis])];
  return x.graph.emit('Slice', inputs, [{ dtype: x.dtype, shape }])[0]!;
}
