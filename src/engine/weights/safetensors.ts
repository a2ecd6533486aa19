/**
 * Reads the header of a .safetensors file: eight bytes of length, a JSON table, then the tensors' bytes.
 * Source: github.com/huggingface/safetensors, README "Format".
 */
import fs from 'node:fs';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import {
  bytesOf,
  countOf,
  realPath,
  type StoredType,
  type TensorEntry,
  type TensorFile,
  truncated,
} from './stored.ts';

const largestHeader = 100_000_000;

export function openSafetensors(path: string): TensorFile {
  const file = realPath(path);
  const size = fs.statSync(file).size;
  const fd = fs.openSync(file, 'r');
  try {
    const prefix = Buffer.alloc(8);
    if (fs.readSync(fd, prefix, 0, 8, 0) < 8) throw truncated(path, size, 8);
    const headerLength = Number(prefix.readBigUInt64LE());
    if (headerLength > largestHeader)
      throw invalid(
        path,
        `its first eight bytes give a header of ${headerLength} bytes, at most ${largestHeader} is allowed`,
      );
    if (8 + headerLength > size) throw truncated(path, size, 8 + headerLength);
    const header = Buffer.alloc(headerLength);
    fs.readSync(fd, header, 0, headerLength, 8);
    return parseHeader(path, file, header.toString('utf8'), 8 + headerLength, size);
  } finally {
    fs.closeSync(fd);
  }
}

function parseHeader(path: string, file: string, text: string, start: number, size: number): TensorFile {
  let table: unknown;
  try {
    table = JSON.parse(text);
  } catch {
    throw invalid(path, 'its header is not JSON');
  }
  if (typeof table !== 'object' || table === null || Array.isArray(table))
    throw invalid(path, 'its header is not a table of tensors');
  const { __metadata__: words, ...entries } = table as { __metadata__?: unknown };
  const tensors = new Map<string, TensorEntry>();
  let end = start;
  for (const [name, entry] of Object.entries(entries)) {
    if (!isEntry(entry)) throw invalid(path, `its header says of tensor ${name}: ${JSON.stringify(entry)}`);
    const { dtype, shape, data_offsets } = entry;
    const [from, to] = data_offsets;
    // An unknown type is an error only when such a tensor is read.
    const bytes = bytesOf(dtype, countOf(shape));
    if (to - from !== bytes && !Number.isNaN(bytes))
      throw invalid(path, `tensor ${name} (${dtype} [${shape}]) has ${to - from} bytes, expected ${bytes}`);
    tensors.set(name, { name, dtype, shape, file, offset: start + from, length: to - from });
    end = Math.max(end, start + to);
  }
  if (end > size) throw truncated(path, size, end);
  return { tensors, metadata: readMetadata(path, words) };
}

/** Python's writers omit empty metadata or write it as null. */
function readMetadata(path: string, words: unknown): Record<string, string> {
  if (words === undefined || words === null) return {};
  const isTable = typeof words === 'object' && !Array.isArray(words);
  const odd = isTable ? Object.entries(words).find(([, value]) => typeof value !== 'string') : [];
  if (odd === undefined) return words as Record<string, string>;
  const found = isTable ? `${odd[0]} = ${JSON.stringify(odd[1])}` : JSON.stringify(words);
  throw invalid(path, `its __metadata__ is not a table of texts: ${found.slice(0, 100)}`);
}

type HeaderEntry = { dtype: StoredType; shape: number[]; data_offsets: [number, number] };

function isEntry(value: unknown): value is HeaderEntry {
  const { dtype, shape, data_offsets } = (value ?? {}) as Partial<HeaderEntry>;
  const counts = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((item) => Number.isSafeInteger(item) && item >= 0);
  const ranged = counts(data_offsets) && data_offsets.length === 2 && data_offsets[0] <= data_offsets[1];
  return typeof dtype === 'string' && counts(shape) && ranged;
}

function invalid(path: string, reason: string): RetouchError {
  return new EngineError('checkpointInvalid', `${path} is not a safetensors file: ${reason}`, { path });
}
