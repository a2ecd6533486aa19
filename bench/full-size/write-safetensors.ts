import fs from 'node:fs';
import { bytesOf, countOf, type StoredType } from '../../src/engine/weights/stored.ts';
import type { Tensor } from './tensor.ts';
import type { Values } from './values.ts';

/** The library's order of types in a file: wider ones first, so that all are aligned. */
const order: readonly StoredType[] = ['F32', 'BF16', 'F16', 'F8_E4M3'];

/** The start of a file as the safetensors library writes it, and its tensors in the order of their bytes. */
export function safetensorsLayout(
  tensors: readonly Tensor[],
  metadata?: Readonly<Record<string, string>>,
): { header: Buffer; sorted: Tensor[]; size: number } {
  const sorted = [...tensors].sort(
    (a, b) => order.indexOf(a.dtype) - order.indexOf(b.dtype) || (a.name < b.name ? -1 : 1),
  );
  const entries: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let end = 0;
  for (const { name, dtype, shape } of sorted) {
    const length = bytesOf(dtype, countOf(shape));
    entries[name] = { dtype, shape, data_offsets: [end, end + length] };
    end += length;
  }
  const text = JSON.stringify(entries);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const header = Buffer.concat([length, padded]);
  return { header, sorted, size: header.length + end };
}

export function writeSafetensors(
  file: string,
  tensors: readonly Tensor[],
  { metadata, values }: { metadata?: Readonly<Record<string, string>> | undefined; values: Values },
): void {
  const { header, sorted } = safetensorsLayout(tensors, metadata);
  const fd = fs.openSync(file, 'w');
  fs.writeSync(fd, header);
  for (const tensor of sorted) for (const piece of values.bytes(tensor)) fs.writeSync(fd, piece);
  fs.closeSync(fd);
}

/** Shards of at most `limit` bytes and their index, in diffusers' names. */
export function writeShards(
  folder: string,
  tensors: readonly Tensor[],
  { stem, limit, values }: { stem: string; limit: number; values: Values },
): void {
  fs.mkdirSync(folder, { recursive: true });
  const shards: Tensor[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor.dtype, countOf(tensor.shape));
    if (size + bytes > limit && size > 0) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
  }
  const metadata = { format: 'pt' };
  const number = (n: number) => String(n).padStart(5, '0');
  const nameOf = (i: number) =>
    shards.length === 1
      ? `${stem}.safetensors`
      : `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
  for (const [i, shard] of shards.entries())
    writeSafetensors(`${folder}/${nameOf(i)}`, shard, { metadata, values });
  if (shards.length === 1) return;
  const weight_map = Object.fromEntries(
    shards.flatMap((shard, i) => shard.map(({ name }) => [name, nameOf(i)])),
  );
  const total_size = tensors.reduce((sum, { dtype, shape }) => sum + bytesOf(dtype, countOf(shape)), 0);
  fs.writeFileSync(
    `${folder}/${stem}.safetensors.index.json`,
    JSON.stringify({ metadata: { total_size }, weight_map }, null, 2),
  );
}
