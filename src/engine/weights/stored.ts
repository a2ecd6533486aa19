/** Stored tensors, independent of the file format. */
import fs from 'node:fs';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';

/** A type's numbers are stored in blocks of `values` that take `bytes`; most types' blocks are single numbers. */
export const storedTypes = {
  F64: { values: 1, bytes: 8 },
  F32: { values: 1, bytes: 4 },
  F16: { values: 1, bytes: 2 },
  BF16: { values: 1, bytes: 2 },
  I64: { values: 1, bytes: 8 },
  I32: { values: 1, bytes: 4 },
  I16: { values: 1, bytes: 2 },
  I8: { values: 1, bytes: 1 },
  U8: { values: 1, bytes: 1 },
  BOOL: { values: 1, bytes: 1 },
  F8_E4M3: { values: 1, bytes: 1 },
  F8_E5M2: { values: 1, bytes: 1 },
  Q4_0: { values: 32, bytes: 18 },
  Q4_1: { values: 32, bytes: 20 },
  Q5_0: { values: 32, bytes: 22 },
  Q5_1: { values: 32, bytes: 24 },
  Q8_0: { values: 32, bytes: 34 },
  Q4_K: { values: 256, bytes: 144 },
  Q5_K: { values: 256, bytes: 176 },
  Q6_K: { values: 256, bytes: 210 },
  Q2_K: { values: 256, bytes: 84 },
  Q3_K: { values: 256, bytes: 110 },
  IQ4_NL: { values: 32, bytes: 18 },
  IQ4_XS: { values: 256, bytes: 136 },
} as const;

export type StoredType = keyof typeof storedTypes;

/** A tensor in a file: row-major little-endian bytes at [offset, offset + length). */
export type TensorEntry = {
  name: string;
  dtype: StoredType;
  shape: number[];
  file: string;
  offset: number;
  length: number;
  /** Factors of the stored numbers, one for the whole tensor or one for each row (first axis). */
  scale?: Float32Array;
};

/** The content of a file: its tensors by name, and its metadata. */
export type TensorFile = { tensors: Map<string, TensorEntry>; metadata: Record<string, string> };

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of so many numbers; NaN where the type is unknown or they do not fill whole blocks. */
export function bytesOf(dtype: StoredType, count: number): number {
  const type = Object.hasOwn(storedTypes, dtype) ? storedTypes[dtype] : undefined;
  return type && count % type.values === 0 ? (count / type.values) * type.bytes : Number.NaN;
}

/** Resolves symbolic links, since ONNX Runtime refuses links that leave the weights' folder, such as a download cache's. */
export function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch {
    throw new EngineError('modelFileMissing', `no file ${path}`, { path });
  }
}

export function truncated(path: string, found: number, expected: number): RetouchError {
  return new EngineError(
    'checkpointTruncated',
    `${path} has ${found} bytes, its header promises ${expected}: the download is probably incomplete`,
    { path, found, expected },
  );
}

/** Rows [first, first + count) of a tensor; NaN bytes where its blocks do not end with its rows. */
export function rowsOf(entry: TensorEntry, first: number, count: number): TensorEntry {
  const { dtype, shape, offset, scale } = entry;
  const bytes = bytesOf(dtype, countOf(shape.slice(1)));
  return {
    ...entry,
    shape: [count, ...shape.slice(1)],
    offset: offset + first * bytes,
    length: count * bytes,
    ...(scale && scale.length > 1 ? { scale: scale.subarray(first, first + count) } : {}),
  };
}

/** Rows of a piece are a multiple of this where there are more: the forms made of them are written in tiles as high. */
const tile = 64;

/**
 * The parts of a matrix in pieces of whole rows with at most about `largest` numbers, so that it can be read without
 * holding it in memory; a part whose blocks cross row boundaries is one piece. `row` is the piece's first row.
 */
export function* piecesOf(
  parts: readonly TensorEntry[],
  largest = 1 << 20,
): Generator<{ part: TensorEntry; row: number }> {
  let row = 0;
  for (const part of parts) {
    const [rows = 1] = part.shape;
    const fitting = Math.max(1, Math.floor(largest / countOf(part.shape.slice(1))));
    const atOnce = fitting > tile ? fitting - (fitting % tile) : fitting;
    const divides = !Number.isNaN(rowsOf(part, 0, 1).length);
    for (let first = 0; first < rows; first += divides ? atOnce : rows)
      yield divides
        ? { part: rowsOf(part, first, Math.min(atOnce, rows - first)), row: row + first }
        : { part, row };
    row += rows;
  }
}

/** The bytes of one tensor. */
export function readBytes(entry: TensorEntry): Buffer {
  const bytes = Buffer.allocUnsafe(entry.length);
  const fd = fs.openSync(entry.file, 'r');
  try {
    let at = 0;
    while (at < entry.length) {
      const count = fs.readSync(fd, bytes, at, Math.min(entry.length - at, 1 << 30), entry.offset + at);
      if (count === 0) throw truncated(entry.file, entry.offset + at, entry.offset + entry.length);
      at += count;
    }
  } finally {
    fs.closeSync(fd);
  }
  return bytes;
}
