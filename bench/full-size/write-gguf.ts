/** GGUF version 3, streamed (github.com/ggml-org/ggml, docs/gguf.md). */
import fs from 'node:fs';
import { bytesOf, countOf, type StoredType } from '../../src/engine/weights/stored.ts';
import { metadataValue, text, u32, u64 } from '../../test/fixtures/gguf-values.ts';
import type { Tensor } from './tensor.ts';
import type { Values } from './values.ts';

/** ggml.h, enum ggml_type. */
const types: Partial<Record<StoredType, number>> = {
  F32: 0,
  F16: 1,
  Q8_0: 8,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  BF16: 30,
};
const alignment = 32;
const pad = (size: number) => Math.ceil(size / alignment) * alignment;

export type GgufMetadata = Readonly<Record<string, string | number>>;

export function ggufLayout(
  tensors: readonly Tensor[],
  metadata: GgufMetadata,
): { header: Buffer; size: number } {
  const pairs = Object.entries(metadata).map(([key, value]) =>
    Buffer.concat([text(key), metadataValue(value)]),
  );
  let offset = 0;
  const rows = tensors.map(({ name, dtype, shape }) => {
    const sizes = [...shape].reverse().map(u64);
    const row = Buffer.concat([
      text(name),
      u32(shape.length),
      ...sizes,
      u32(types[dtype] ?? Number.NaN),
      u64(offset),
    ]);
    offset += pad(bytesOf(dtype, countOf(shape)));
    return row;
  });
  const counts = [u32(3), u64(tensors.length), u64(pairs.length)];
  const header = Buffer.concat([Buffer.from('GGUF'), ...counts, ...pairs, ...rows]);
  const padded = Buffer.concat([header, Buffer.alloc(pad(header.length) - header.length)]);
  return { header: padded, size: padded.length + offset };
}

export function writeGguf(
  file: string,
  tensors: readonly Tensor[],
  { metadata, values }: { metadata: GgufMetadata; values: Values },
): void {
  const fd = fs.openSync(file, 'w');
  fs.writeSync(fd, ggufLayout(tensors, metadata).header);
  for (const tensor of tensors) {
    for (const piece of values.bytes(tensor)) fs.writeSync(fd, piece);
    const length = bytesOf(tensor.dtype, countOf(tensor.shape));
    fs.writeSync(fd, Buffer.alloc(pad(length) - length));
  }
  fs.closeSync(fd);
}
