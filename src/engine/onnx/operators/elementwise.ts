/** Operators on single elements, with numpy broadcasting. */
import { dimsEqual, type Shape, shapeText } from '../dim.ts';
import { type DType, dtypes } from '../dtype.ts';
import { graphError, Var } from '../graph.ts';
import { scalar } from './constant.ts';

export function broadcast(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - (rank - a.length)] ?? 1;
    const y = b[i - (rank - b.length)] ?? 1;
    if (x === 1) return y;
    if (y === 1 || dimsEqual(x, y)) return x;
    throw graphError(
      `${op}: shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast at axis ${i}: ${x} and ${y}`,
    );
  });
}

function binary(op: string, a: Var, b: Var | number): Var {
  const right = b instanceof Var ? b : scalar(a.graph, b, a.dtype);
  if (a.dtype !== right.dtype) throw graphError(`${op}: types differ: ${a} and ${right}`);
  return a.graph.emit(op, [a, right], [{ dtype: a.dtype, shape: broadcast(op, a.shape, right.shape) }])[0]!;
}

export const add = (a: Var, b: Var | number) => binary('Add', a, b);
export const sub = (a: Var, b: Var | number) => binary('Sub', a, b);
export const mul = (a: Var, b: Var | number) => binary('Mul', a, b);
export const div = (a: Var, b: Var | number) => binary('Div', a, b);
export const max = (a: Var, b: Var | number) => binary('Max', a, b);

function unary(op: string, x: Var, attributes = {}, domain: '' | 'com.microsoft' = ''): Var {
  if (!['f32', 'f16'].includes(x.dtype)) throw graphError(`${op} takes floats, got ${x}`);
  return x.graph.emit(op, [x], [x], attributes, domain)[0]!;
}

export const abs = (x: Var) => unary('Abs', x);
export const sqrt = (x: Var) => unary('Sqrt', x);
export const relu = (x: Var) => unary('Relu', x);
export const sigmoid = (x: Var) => unary('Sigmoid', x);
/** Between 0 and 6 (Krizhevsky's CIFAR-10 networks; MobileNet). */
export const relu6 = (x: Var) =>
  x.graph.emit('Clip', [x, scalar(x.graph, 0, x.dtype), scalar(x.graph, 6, x.dtype)], [x])[0]!;
export const tanh = (x: Var) => unary('Tanh', x);
export const gelu = (x: Var, approximate: 'none' | 'tanh') => unary('Gelu', x, { approximate });
export const silu = (x: Var) => mul(x, sigmoid(x));
/** x·sigmoid(1.702x), the activation of OpenAI's CLIP. */
export const quickGelu = (x: Var) => mul(x, sigmoid(mul(x, 1.702)));
export const softmax = (x: Var, axis = -1) => unary('Softmax', x, { axis });

export function cast(x: Var, dtype: DType): Var {
  if (x.dtype === dtype) return x;
  return x.graph.emit('Cast', [x], [{ dtype, shape: x.shape }], { to: dtypes[dtype].onnx })[0]!;
}

/** base + update where `update` has as many rows as `base` or one: only the run knows which (see nn/linear.ts). */
export function addRows(base: Var, update: Var): Var {
  if (
    base.rank !== 2 ||
    update.rank !== 2 ||
    !dimsEqual(base.dim(1), update.dim(1)) ||
    base.dtype !== update.dtype
  )
    throw graphError(`addRows: ${base} and ${update} must be matrices of one type and width`);
  return base.graph.emit('Add', [base, update], [base])[0]!;
}
