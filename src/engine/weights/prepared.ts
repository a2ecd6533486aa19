/**
 * Weights converted to the precision that a network computes in, when the checkpoint stores another: computed once and
 * cached in a safetensors file, whose tensors conversion/layers.ts names.
 */
import fs from 'node:fs';
import path from 'node:path';
import { formatBytes } from '../../bytes.ts';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { Graph, Var } from '../onnx/graph.ts';
import { type BlockWeights, blockSize } from '../onnx/operators/index.ts';
import { Checkpoint } from './checkpoint.ts';
import {
  type ConvertedLayer,
  convertedLayer,
  type LinearShape,
  type PrecisionName,
  sizeOf,
} from './conversion/layers.ts';
import { convertAll, threadsFor } from './conversion/threads.ts';
import { partialName, removeAbandoned } from './partial-files.ts';
import { openSafetensors } from './safetensors.ts';
import type { WeightSource } from './source.ts';
import { bytesOf, countOf, type TensorEntry } from './stored.ts';

export type PreparedLinear =
  /** i8 [K, N] and f32 [N]. */
  | { form: 'columns'; values: Var; columns: Var }
  /** u8 [N, K/32, bytes], f32 [N, K/32] and [N, K/32]. */
  | ({ form: 'blocks' } & BlockWeights);

const formatVersion = '2';
export class PreparedWeights {
  private readonly tensors: ReadonlyMap<string, TensorEntry>;

  constructor({ tensors }: Checkpoint) {
    this.tensors = tensors;
  }

  /** The reduced form of weight `name` [N, K]. */
  linear(graph: Graph, name: string, outputs: number, inputs: number): PreparedLinear | undefined {
    const [values, blocks, scale, offset] = ['i8', 'blocks', 'scale', 'offset'].map((suffix) =>
      this.tensors.get(`${name}.${suffix}`),
    );
    if (values && scale)
      return {
        form: 'columns',
        values: graph.weight(values.name, 'i8', [inputs, outputs], values),
        columns: graph.weight(scale.name, 'f32', [outputs], scale),
      };
    if (!blocks || !scale) return undefined;
    const perRow = [outputs, Math.ceil(inputs / blockSize)];
    return {
      form: 'blocks',
      values: graph.weight(blocks.name, 'u8', blocks.shape, blocks),
      scale: graph.weight(scale.name, 'f32', perRow, scale),
      offset: offset && graph.weight(offset.name, 'f32', perRow, offset),
    };
  }

  /**
   * Successive rows of weight `name` [N, K], so many in each piece, where it is stored in blocks of four bits: u4 [n, K] around
   * 8, and f32 [n, K/32] its scales and offsets. Each piece stays where it is on disk.
   */
  nibbles(graph: Graph, name: string, inputs: number, sizes: readonly number[]): BlockWeights[] | undefined {
    const [blocks, scale, offset] = ['blocks', 'scale', 'offset'].map((suffix) =>
      this.tensors.get(`${name}.${suffix}`),
    );
    if (!blocks || !scale || blocks.shape.at(-1)! * 2 !== blockSize || inputs % blockSize !== 0)
      return undefined;
    const outputs = blocks.shape[0]!;
    let row = 0;
    return sizes.map((size) => {
      const rows = (entry: TensorEntry, dtype: 'u4' | 'f32', width: number) => {
        const length = (entry.length / outputs) * size;
        const range = { file: entry.file, offset: entry.offset + (entry.length / outputs) * row, length };
        return graph.weight(`${entry.name}@${row}+${size}`, dtype, [size, width], range);
      };
      const piece = {
        values: rows(blocks, 'u4', inputs),
        scale: rows(scale, 'f32', inputs / blockSize),
        offset: offset && rows(offset, 'f32', inputs / blockSize),
      };
      row += size;
      return piece;
    });
  }

  /** Tensor `name` as floats, where the checkpoint's own are not floats. */
  floats(name: string): TensorEntry | undefined {
    return this.tensors.get(name);
  }
}

/** Bytes of the file that are written, and that it will have. */
export type Written = { done: number; total: number };

/** The cached file, and the precision that it holds. */
type Cached = { precision: PrecisionName; file: string };

/**
 * Opens the cached file when it was made from this checkpoint, otherwise writes it and yields how much is written after
 * every layer. The file is written under a temporary name and renamed when complete, so a crash leaves no
 * incomplete cache, and a caller that stops leaves nothing. Returns undefined and writes nothing when the checkpoint
 * needs no conversion.
 *
 * @param options the layers are converted on as many `threads`; the file is the same for any number
 * @throws RetouchError `cacheFull` when the disk has no room for it, otherwise as `convertAll` does
 */
export async function* openPrepared(
  source: WeightSource,
  linears: readonly LinearShape[],
  { precision, file, threads = 1 }: Cached & { threads?: number },
): AsyncGenerator<Written, PreparedWeights | undefined> {
  const layers = convertedLayers(source, linears, precision);
  if (layers.length === 0) return undefined;
  const origin = originOf(source.checkpoint, layers);
  if (fs.existsSync(path.dirname(file))) removeAbandoned(path.dirname(file));
  if (!isCurrent(file, origin)) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const partial = partialName(file);
    try {
      yield* write(layers, { file, partial, origin, threads });
      fs.renameSync(partial, file);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code === 'ENOSPC' || code === 'EDQUOT' ? cacheFull(file, fs.statSync(partial).size) : error;
    } finally {
      fs.rmSync(partial, { force: true });
    }
  }
  const { tensors, metadata } = openSafetensors(file);
  return new PreparedWeights(new Checkpoint(file, tensors, metadata));
}

/** Bytes of the tensors that `openPrepared` makes of these layers; 0 when the checkpoint needs no conversion. */
export function preparedBytes(
  source: WeightSource,
  linears: readonly LinearShape[],
  precision: PrecisionName,
): number {
  return sizeOf(convertedLayers(source, linears, precision).flatMap(({ tensors }) => tensors));
}

/** Whether the cached file is there and was made from this checkpoint. */
export function isPrepared(
  source: WeightSource,
  linears: readonly LinearShape[],
  { precision, file }: Cached,
): boolean {
  const layers = convertedLayers(source, linears, precision);
  return layers.length === 0 || isCurrent(file, originOf(source.checkpoint, layers));
}

function convertedLayers(
  source: WeightSource,
  linears: readonly LinearShape[],
  precision: PrecisionName,
): ConvertedLayer[] {
  return linears.flatMap((linear) => convertedLayer(source, linear, precision) ?? []);
}

function isCurrent(file: string, origin: string): boolean {
  return fs.existsSync(file) && openSafetensors(file).metadata.origin === origin;
}

/** The cache key: sizes and modification times of the source files, the tensors to make, and the format's version. */
function originOf(checkpoint: Checkpoint, layers: readonly ConvertedLayer[]): string {
  const files = checkpoint.files.map((file) => {
    const { size, mtimeMs } = fs.statSync(file);
    return `${path.basename(file)}:${size}:${Math.floor(mtimeMs)}`;
  });
  const tensors = layers.flatMap((layer) => layer.tensors.map(({ name, dtype }) => `${name}:${dtype}`));
  return [formatVersion, ...files, ...tensors].join('|');
}

type WriteOptions = { file: string; partial: string; origin: string; threads: number };

async function* write(
  layers: readonly ConvertedLayer[],
  { file, partial, origin, threads }: WriteOptions,
): AsyncGenerator<Written> {
  const header: Record<string, unknown> = { __metadata__: { origin } };
  let end = 0;
  for (const { name, dtype, shape } of layers.flatMap(({ tensors }) => tensors)) {
    // Floats come first in every layer, and stay aligned when the values before them fill whole words.
    const length = bytesOf(dtype, countOf(shape));
    header[name] = { dtype, shape, data_offsets: [end, end + length] };
    end += length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  const total = prefix.length + padded.length + end;
  checkRoom(file, total);
  const fd = fs.openSync(partial, 'w');
  try {
    writeAll(fd, prefix);
    writeAll(fd, padded);
    let done = prefix.length + padded.length;
    const conversions = layers.flatMap((layer) => layer.conversions);
    for await (const converted of convertAll(conversions, threadsFor(end, threads))) {
      for (const { buffer, byteOffset, byteLength } of converted) {
        writeAll(fd, Buffer.from(buffer, byteOffset, byteLength));
        done += byteLength;
        // Frees the memory now: garbage collection would wait for hundreds of megabytes more.
        buffer.transfer(0);
      }
      yield { done, total };
    }
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function checkRoom(file: string, needed: number): void {
  const { bavail, bsize } = fs.statfsSync(path.dirname(file));
  // The new file replaces the old one when it is complete: until then the disk holds both.
  if (needed > bavail * bsize) throw cacheFull(file, needed);
}

function cacheFull(file: string, needed: number): RetouchError {
  const folder = path.dirname(file);
  const { bavail, bsize } = fs.statfsSync(folder);
  const free = bavail * bsize;
  return new EngineError(
    'cacheFull',
    `Preparing ${path.basename(file)} takes ${formatBytes(needed)} of disk, and ${folder} has ${formatBytes(free)} free. ` +
      'Make room there, choose a precision that takes less (--precision int4 takes about half of int8), or move the ' +
      'models directory to a larger disk (--models-dir).',
    { path: file, needed, free },
  );
}

function writeAll(fd: number, bytes: Buffer): void {
  let at = 0;
  while (at < bytes.length) at += fs.writeSync(fd, bytes, at, bytes.length - at);
}
