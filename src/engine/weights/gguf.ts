/**
 * Reads the header of a GGUF file, versions 2 and 3: magic, version, counts, metadata, a table of tensors, and their
 * bytes from the next multiple of the alignment. Source: github.com/ggml-org/ggml, docs/gguf.md.
 */
import fs from 'node:fs';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import {
  bytesOf,
  countOf,
  realPath,
  type StoredType,
  storedTypes,
  type TensorEntry,
  type TensorFile,
  truncated,
} from './stored.ts';

/** ggml.h, enum ggml_type. A type without a size here is an error only when such a tensor is read. */
const typeNames: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  30: 'BF16',
};

const magic = 'GGUF';
const mostAxes = 4;
/** A tensor's row of the table has at least this many bytes, a pair of the metadata this many. */
const [smallestRow, smallestPair] = [28, 13];

export function isGguf(path: string): boolean {
  const fd = fs.openSync(realPath(path), 'r');
  try {
    const bytes = Buffer.alloc(4);
    return fs.readSync(fd, bytes, 0, 4, 0) === 4 && bytes.toString('latin1') === magic;
  } finally {
    fs.closeSync(fd);
  }
}

/** Throws `checkpointTruncated` and `checkpointInvalid`, with the offset at which the header goes wrong. */
export function openGguf(path: string): TensorFile {
  const file = realPath(path);
  const cursor = new Cursor(path, file);
  try {
    return readHeader(cursor, file);
  } finally {
    cursor.close();
  }
}

function readHeader(cursor: Cursor, file: string): TensorFile {
  const found = cursor.take(4).toString('latin1');
  if (found !== magic)
    throw cursor.invalid(`it begins with ${JSON.stringify(found)}, expected '${magic}'`, 0);
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const swapped = version >= 1 << 16 ? ' (was it written for a big-endian machine?)' : '';
    throw cursor.invalid(`its version is ${version}${swapped}, expected 2 or 3`, 4);
  }
  const tensorCount = cursor.count('tensors', smallestRow);
  const pairCount = cursor.count('metadata pairs', smallestPair);
  const metadata: Record<string, string> = {};
  for (let i = 0; i < pairCount; i++) {
    const key = cursor.text();
    const value = readValue(cursor, cursor.u32());
    if (value !== undefined) metadata[key] = value;
  }
  const rows = Array.from({ length: tensorCount }, () => readRow(cursor));
  const alignment = Number(metadata['general.alignment'] ?? 32);
  if (!(alignment > 0 && Number.isInteger(Math.log2(alignment))))
    throw cursor.invalid(`general.alignment is ${alignment}, expected a power of two`);
  const start = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = new Map<string, TensorEntry>();
  let end = start;
  for (const row of rows) {
    const entry = place(row, start, alignment, file, metadata, cursor);
    if (tensors.has(entry.name)) throw cursor.invalid(`it has two tensors ${entry.name}`, row.at);
    tensors.set(entry.name, entry);
    end = Math.max(end, entry.offset + entry.length);
  }
  if (end > cursor.size) throw truncated(cursor.path, cursor.size, end);
  return { tensors, metadata };
}

/** `at` is the row's offset in the header, for messages. */
type Row = { name: string; sizes: number[]; type: number; offset: number; at: number };

function readRow(cursor: Cursor): Row {
  const { at } = cursor;
  const name = cursor.text();
  const axes = cursor.u32();
  if (axes > mostAxes)
    throw cursor.invalid(`tensor ${name} has ${axes} axes, expected at most ${mostAxes}`, at);
  // The first size is the fastest-varying one: torch's order backwards.
  const sizes = Array.from({ length: axes }, () => cursor.u64()).reverse();
  return { name, sizes, type: cursor.u32(), offset: cursor.u64(), at };
}

function place(
  { name, sizes, type, offset, at }: Row,
  start: number,
  alignment: number,
  file: string,
  metadata: Record<string, string>,
  cursor: Cursor,
): TensorEntry {
  const dtype = (typeNames[type] ?? `ggml type ${type}`) as StoredType;
  const row = sizes.at(-1) ?? 1;
  const length = bytesOf(dtype, countOf(sizes));
  const { values } = storedTypes[dtype] ?? { values: 1 };
  if (row % values !== 0)
    throw cursor.invalid(
      `tensor ${name} (${dtype} [${sizes}]) has rows of ${row}, not of ${values}-blocks`,
      at,
    );
  if (offset % alignment !== 0)
    throw cursor.invalid(`tensor ${name} begins at ${offset}, expected a multiple of ${alignment}`, at);
  // ComfyUI-GGUF reshapes tensors whose rows are not a multiple of the block, and records the original shape here.
  const original = metadata[`comfy.gguf.orig_shape.${name}`]?.split(',').map(Number);
  const shape = original ?? sizes;
  if (countOf(shape) !== countOf(sizes))
    throw cursor.invalid(`tensor ${name} has sizes [${sizes}], but its orig_shape is [${shape}]`, at);
  return { name, dtype, shape, file, offset: start + offset, length: Number.isNaN(length) ? 0 : length };
}

/** Numbers of a metadata value by its type: u8, i8, u16, i16, u32, i32, f32, bool, (8 text, 9 list,) u64, i64, f64. */
const scalars: Readonly<Record<number, [bytes: number, read: (bytes: Buffer) => unknown]>> = {
  0: [1, (bytes) => bytes.readUInt8()],
  1: [1, (bytes) => bytes.readInt8()],
  2: [2, (bytes) => bytes.readUInt16LE()],
  3: [2, (bytes) => bytes.readInt16LE()],
  4: [4, (bytes) => bytes.readUInt32LE()],
  5: [4, (bytes) => bytes.readInt32LE()],
  6: [4, (bytes) => bytes.readFloatLE()],
  7: [1, (bytes) => bytes.readUInt8() !== 0],
  10: [8, (bytes) => bytes.readBigUInt64LE()],
  11: [8, (bytes) => bytes.readBigInt64LE()],
  12: [8, (bytes) => bytes.readDoubleLE()],
};
const [textType, listType] = [8, 9];
/** Longer lists are vocabularies, which are not needed. */
const longestList = 16;

function readValue(cursor: Cursor, type: number, depth = 0): string | undefined {
  if (type === textType) return cursor.text();
  if (type === listType && depth < 4) {
    const { at } = cursor;
    const itemType = cursor.u32();
    const length = cursor.u64();
    const [bytes] = scalars[itemType] ?? [undefined];
    if (length > longestList && bytes !== undefined) {
      cursor.skip(length * bytes);
      return undefined;
    }
    if (length > cursor.size) throw cursor.invalid(`a list has ${length} items`, at);
    const items: (string | undefined)[] = [];
    for (let i = 0; i < length; i++) {
      const item = readValue(cursor, itemType, depth + 1);
      if (i < longestList) items.push(item);
    }
    return length > longestList ? undefined : items.join(',');
  }
  const scalar = scalars[type];
  if (!scalar) throw cursor.invalid(`a value of its metadata has type ${type}`, cursor.at - 4);
  return String(scalar[1](cursor.take(scalar[0])));
}

/** Reads forward through a file, a piece at a time. */
class Cursor {
  readonly path: string;
  readonly size: number;
  at = 0;
  private readonly fd: number;
  private piece: Buffer = Buffer.alloc(0);
  private pieceAt = 0;

  constructor(path: string, file: string) {
    this.path = path;
    this.size = fs.statSync(file).size;
    this.fd = fs.openSync(file, 'r');
  }

  close(): void {
    fs.closeSync(this.fd);
  }

  take(length: number): Buffer {
    if (this.at + length > this.size) throw truncated(this.path, this.size, this.at + length);
    const from = this.at - this.pieceAt;
    if (from < 0 || from + length > this.piece.length) {
      this.piece = Buffer.allocUnsafe(Math.min(Math.max(length, 1 << 20), this.size - this.at));
      this.pieceAt = this.at;
      const count = fs.readSync(this.fd, this.piece, 0, this.piece.length, this.at);
      if (count < length) throw truncated(this.path, this.at + count, this.at + length);
      this.piece = this.piece.subarray(0, count);
    }
    const start = this.at - this.pieceAt;
    this.at += length;
    return this.piece.subarray(start, start + length);
  }

  skip(length: number): void {
    if (this.at + length > this.size) throw truncated(this.path, this.size, this.at + length);
    this.at += length;
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  u64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw this.invalid(`a number of its header is ${value}`, this.at - 8);
    return Number(value);
  }

  /** A number of things that each take at least `smallest` bytes of what is left. */
  count(what: string, smallest: number): number {
    const value = this.u64();
    const most = Math.floor((this.size - this.at) / smallest);
    if (value > most)
      throw this.invalid(`it promises ${value} ${what}, but has room for at most ${most}`, this.at - 8);
    return value;
  }

  text(): string {
    return this.take(this.u64()).toString('utf8');
  }

  invalid(reason: string, offset = this.at): RetouchError {
    return new EngineError(
      'checkpointInvalid',
      `${this.path} is not a sound GGUF file: at byte ${offset}, ${reason}`,
      { path: this.path, offset },
    );
  }
}
