/** Constants stored inside the graph. */
import type { DType, FloatType } from '../dtype.ts';
import { type Graph, graphError, type Var } from '../graph.ts';

type Typed = Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;

function bytesOf(array: Typed): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

export function f32(graph: Graph, values: readonly number[] | Float32Array, shape: readonly number[]): Var {
  return graph.constant('f32', shape, bytesOf(Float32Array.from(values)));
}

export function i64(graph: Graph, values: readonly (number | bigint)[], shape = [values.length]): Var {
  return graph.constant('i64', shape, bytesOf(BigInt64Array.from(values.map(BigInt))));
}

/** Numbers rounded to f16. */
export function f16(graph: Graph, values: Float32Array, shape: readonly number[]): Var {
  return graph.constant('f16', shape, bytesOf(new Uint8Array(new Float16Array(values).buffer)));
}

/** A scalar of the type given; f16 scalars are limited to values that f16 holds exactly enough for a constant. */
export function scalar(graph: Graph, value: number, dtype: DType): Var {
  if (dtype === 'f32') return graph.constant('f32', [], bytesOf(Float32Array.of(value)));
  if (dtype === 'f16') return graph.constant('f16', [], bytesOf(halfBits(value)));
  if (dtype === 'u8') return graph.constant('u8', [], Uint8Array.of(value));
  if (dtype === 'i8') return graph.constant('i8', [], bytesOf(Int8Array.of(value)));
  if (dtype === 'i64') return graph.constant('i64', [], bytesOf(BigInt64Array.of(BigInt(value))));
  throw graphError(`no scalar constants of type ${dtype}`);
}

export function filled(graph: Graph, value: number, length: number, dtype: FloatType): Var {
  if (dtype === 'f32') return f32(graph, new Float32Array(length).fill(value), [length]);
  const half = halfBits(value);
  const bytes = new Uint8Array(length * 2);
  for (let i = 0; i < length; i++) bytes.set(half, i * 2);
  return graph.constant('f16', [length], bytes);
}

function halfBits(value: number): Uint8Array {
  return bytesOf(new Uint8Array(new Float16Array([value]).buffer));
}
