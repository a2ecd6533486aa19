/** Tensors outside graphs: plain values that no runtime needs to be loaded for. */
import { EngineError } from '../errors.ts';
import type { DType } from './dtype.ts';

/** The types that cross the boundary of a graph. */
const arrays = {
  f32: Float32Array,
  /** Bits of the values: nothing outside of graphs computes with them. */
  f16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
  i8: Int8Array,
} as const satisfies Partial<Record<DType, unknown>>;

export type HostType = keyof typeof arrays;
export type HostData = Float32Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array | Int8Array;

/** Row-major values. */
export type Tensor = {
  readonly dtype: HostType;
  readonly dims: readonly number[];
  /** Throws for a result that a session left in its device's memory: it can only be fed to another session there. */
  readonly data: HostData;
  /** Results of a session have it: frees their memory before the garbage collector would. */
  dispose?(): void;
};

/** Tensors by the names of a graph's inputs. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** @throws RetouchError `graphInvalid` when the data is of another type or length */
export function tensor(dtype: DType, data: HostData, dims: readonly number[]): Tensor {
  const array = (arrays as Partial<Record<DType, (typeof arrays)[HostType]>>)[dtype];
  const count = dims.reduce((a, b) => a * b, 1);
  if (!array || !(data instanceof array) || data.length !== count)
    throw new EngineError(
      'graphInvalid',
      `a ${dtype} tensor of shape [${dims}] needs ${count} elements in ${array?.name ?? 'a type that crosses'}, found ${data.length} in ${data.constructor.name}`,
    );
  return { dtype: dtype as HostType, dims: [...dims], data };
}

export const f32Tensor = (data: Float32Array, dims: readonly number[]) => tensor('f32', data, dims);

/** The values of an f32 tensor. */
export function floats(value: Tensor): Float32Array {
  return value.data as Float32Array;
}
