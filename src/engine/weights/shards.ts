/** Finds the weight files of a folder: one file, or the shards of one, `NAME-00001-of-00003.safetensors`. */
import fs from 'node:fs';
import path from 'node:path';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';

/** transformers puts a variant's name into the index's: `model.safetensors.index.fp16.json`. */
const indexName = /\.safetensors\.index(\.\w+)?\.json$/;
const shardName = /(\d{5})-of-(\d{5})(\..+)$/;

export type Shard = { number: number; of: number; name(number: number): string };

/** The shard number and count in a file's name; undefined for a file that is not a shard. */
export function shardOf(file: string): Shard | undefined {
  const name = path.basename(file);
  const [tail = '', number, of, ending] = name.match(shardName) ?? [];
  if (Number(of ?? 1) <= 1) return undefined;
  const start = name.slice(0, name.length - tail.length);
  return {
    number: Number(number),
    of: Number(of),
    name: (other) => `${start}${String(other).padStart(5, '0')}-of-${of}${ending}`,
  };
}

/** @throws RetouchError `modelFileMissing` when the path names a single shard */
export function refuseShard(file: string): void {
  const shard = shardOf(file);
  if (!shard) return;
  throw new EngineError(
    'modelFileMissing',
    `${file} is part ${shard.number} of ${shard.of} of a network; name the folder that holds all of them`,
    { path: file },
  );
}

/**
 * The names of a folder's weight files. With several indices, the shortest name whose shards are all present is taken; with
 * several files and no index (`model.fp16.safetensors`), the shortest name, which names no variant.
 *
 * @throws RetouchError `modelFileMissing` when there are none or a shard is missing; `checkpointInvalid` for an index
 *   without a table
 */
export function weightFiles(folder: string, names: readonly string[]): string[] {
  const indices = names.filter((name) => indexName.test(name)).sort((a, b) => a.length - b.length);
  const sets = indices.map((name) => shardsOf(path.join(folder, name)));
  const indexed = sets.find((files) => files.every((file) => names.includes(file))) ?? sets[0];
  if (indexed) {
    const missing = indexed.filter((file) => !names.includes(file));
    if (missing.length > 0) throw incomplete(folder, missing, indexed.length);
    return indexed;
  }
  // Variants have longer names.
  const [first] = names
    .filter((name) => /\.(safetensors|gguf)$/.test(name))
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  if (first === undefined)
    throw new EngineError(
      'modelFileMissing',
      `${folder} holds no .safetensors or .gguf file; it holds: ${names.join(', ') || 'nothing'}`,
      { path: folder },
    );
  const shard = shardOf(first);
  if (!shard) return [first];
  const all = Array.from({ length: shard.of }, (_, i) => shard.name(i + 1));
  const missing = all.filter((name) => !names.includes(name));
  if (missing.length > 0) throw incomplete(folder, missing, shard.of);
  return all;
}

function incomplete(folder: string, missing: readonly string[], of: number): RetouchError {
  return new EngineError(
    'modelFileMissing',
    `${folder} lacks ${missing.join(', ')} of the ${of} parts of its network; expected ${missing.map((name) => path.join(folder, name)).join(', ')}`,
    { path: folder, missing },
  );
}

function shardsOf(index: string): string[] {
  let table: { weight_map?: Record<string, string> } | undefined;
  try {
    table = JSON.parse(fs.readFileSync(index, 'utf8'));
  } catch {
    throw new EngineError('modelConfigInvalid', `${index} is not JSON`, { path: index });
  }
  if (!table?.weight_map)
    throw new EngineError('checkpointInvalid', `${index} has no weight_map`, { path: index });
  return [...new Set(Object.values(table.weight_map))].sort();
}
