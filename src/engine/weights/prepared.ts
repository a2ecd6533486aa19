/**
 * Weights converted to the precision that a network computes in, when the checkpoint stores another: computed once and
 * cached in a safetensors file. Tensors made of a linear layer W [N, K] (`name` is `….weight`):
 *
 * - int8: `name.i8` and `name.scale` (columns.ts);
 * - int4 and int8-blocks: `name.blocks`, `name.scale` and where there are offsets `name.offset` (blocks.ts);
 * - f16, where the checkpoint stores another type, and otherwise if its blocks are of a kind that the runtime does not know:
 *   `name` itself, as floats.
 */
import fs from 'node:fs';
import path from 'node:path';
import { formatBytes } from '../../bytes.ts';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { FloatType } from '../onnx/dtype.ts';
import type { Graph, Var } from '../onnx/graph.ts';
import { blockSize } from '../onnx/operators/index.ts';
import { type Bits, type Blocks, haveOffsets, toBlocks } from './blocks.ts';
import { Checkpoint } from './checkpoint.ts';
import { copyRows, emptyColumns, placeRows } from './columns.ts';
import { checkWeights } from './finite.ts';
import { joinFloats, readFloats } from './floats.ts';
import { isBlockType } from './ggml-blocks.ts';
import { partialName, removeAbandoned } from './partial-files.ts';
import { openSafetensors } from './safetensors.ts';
import type { WeightSource } from './source.ts';
import { bytesOf, countOf, readBytes, type StoredType, type TensorEntry } from './stored.ts';

export type LinearShape = { name: string; inputs: number; outputs: number; precise: boolean };

/** The precision of the matrix products of linear layers. */
export type PrecisionName = FloatType | 'int8' | 'int8-blocks' | 'int4';

export type PreparedLinear =
  /** i8 [K, N] and f32 [N]. */
  | { form: 'columns'; values: Var; columns: Var }
  /** u8 [N, K/32, bytes], f32 [N, K/32] and [N, K/32]. */
  | { form: 'blocks'; values: Var; scale: Var; offset: Var | undefined };

const formatVersion = '2';
/** Bits of a weight in the precisions that store blocks. */
export const blockBits: Partial<Record<PrecisionName, Bits>> = { int4: 4, 'int8-blocks': 8 };

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

  /** Tensor `name` as floats, where the checkpoint's own are not floats. */
  floats(name: string): TensorEntry | undefined {
    return this.tensors.get(name);
  }
}

/** Bytes of the file that are written, and that it will have. */
export type Written = { done: number; total: number };

/**
 * Opens the cached file when it was made from this checkpoint, otherwise writes it and yields how much is written after
 * every layer. The file is written under a temporary name and renamed when complete, so a crash leaves no
 * incomplete cache. Returns undefined and writes nothing when the checkpoint needs no conversion.
 *
 * @throws RetouchError `cacheFull` when the disk has no room for it, `precisionUnsupported` when a weight overflows in f16
 */
export function* openPrepared(
  source: WeightSource,
  linears: readonly LinearShape[],
  { precision, file }: { precision: PrecisionName; file: string },
): Generator<Written, PreparedWeights | undefined> {
  const layers = linears.flatMap((linear) => layerOf(source, linear, precision) ?? []);
  if (layers.length === 0) return undefined;
  const origin = originOf(source.checkpoint, layers);
  if (fs.existsSync(path.dirname(file))) removeAbandoned(path.dirname(file));
  if (!isCurrent(file, origin)) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const partial = partialName(file);
    try {
      yield* write(layers, file, partial, origin);
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
  const tensors = linears.flatMap((linear) => layerOf(source, linear, precision)?.tensors ?? []);
  return tensors.reduce((sum, { dtype, shape }) => sum + bytesOf(dtype, countOf(shape)), 0);
}

/** Whether the cached file is there and was made from this checkpoint. */
export function isPrepared(
  source: WeightSource,
  linears: readonly LinearShape[],
  { precision, file }: { precision: PrecisionName; file: string },
): boolean {
  const layers = linears.flatMap((linear) => layerOf(source, linear, precision) ?? []);
  return layers.length === 0 || isCurrent(file, originOf(source.checkpoint, layers));
}

type Stored = { name: string; dtype: StoredType; shape: number[] };
/** The converted tensors of a layer: `make` yields their bytes piece by piece, in the order of `tensors`. */
type Layer = { tensors: Stored[]; make(): Iterable<ArrayBufferView> };

function layerOf(
  source: WeightSource,
  { name, inputs, outputs, precise }: LinearShape,
  precision: PrecisionName,
): Layer | undefined {
  const weight = `${name}.weight`;
  const parts = source.parts(weight);
  const bits = blockBits[precision];
  if (!precise && precision === 'int8')
    return {
      tensors: [
        { name: `${weight}.scale`, dtype: 'F32', shape: [outputs] },
        { name: `${weight}.i8`, dtype: 'I8', shape: [inputs, outputs] },
      ],
      make() {
        const columns = emptyColumns(outputs, inputs);
        for (const { part, row } of source.pieces(weight))
          if (part.dtype === 'I8' && part.scale)
            copyRows(columns, { values: new Int8Array(readBytes(part)), factors: part.scale }, row);
          else placeRows(columns, readFinite(part), row);
        return [columns.scale, columns.values];
      },
    };
  if (!precise && bits) {
    const perRow = Math.ceil(inputs / blockSize);
    const offsets = haveOffsets(parts, bits);
    const floats = (suffix: string): Stored => ({
      name: `${weight}.${suffix}`,
      dtype: 'F32',
      shape: [outputs, perRow],
    });
    const values: Stored = {
      name: `${weight}.blocks`,
      dtype: 'U8',
      shape: [outputs, perRow, (blockSize * bits) / 8],
    };
    return {
      tensors: [floats('scale'), ...(offsets ? [floats('offset')] : []), values],
      make() {
        const blocks: Blocks[] = [];
        for (const { part } of source.pieces(weight)) blocks.push(toBlocks(part, bits, offsets));
        return [
          joinFloats(blocks.map(({ scale }) => scale)),
          ...(offsets ? [joinFloats(blocks.map(({ offset }) => offset!))] : []),
          Buffer.concat(blocks.map(({ values }) => values)),
        ];
      },
    };
  }
  const half = precision === 'f16' && !precise;
  if (!needsFloats(parts, precision, half)) return undefined;
  return {
    tensors: [{ name: weight, dtype: half ? 'F16' : 'F32', shape: [outputs, inputs] }],
    *make() {
      for (const { part } of source.pieces(weight)) {
        const floats = readFinite(part);
        yield half ? toHalf(part, floats) : floats;
      }
    },
  };
}

/**
 * Whether a layer's own tensors cannot be used: blocks that the runtime does not know; in f16 whatever the runtime would have
 * to convert, which it would do in the run or, when a session is made, for all layers at once in the host's memory.
 */
function needsFloats(parts: readonly TensorEntry[], precision: PrecisionName, half: boolean): boolean {
  if (precision !== 'f16') return parts.some(({ dtype }) => isBlockType(dtype));
  return parts.some(({ dtype, scale }) => scale || dtype !== (half ? 'F16' : 'F32'));
}

function toHalf(part: TensorEntry, floats: Float32Array): Float16Array {
  const half = new Float16Array(floats);
  const at = half.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return half;
  throw new EngineError(
    'precisionUnsupported',
    `tensor ${part.name} of ${part.file} holds ${floats[at]}, beyond f16's 65504: choose another precision`,
    { path: part.file, tensor: part.name },
  );
}

function readFinite(part: TensorEntry): Float32Array {
  return checkWeights(part, readFloats(part));
}

function isCurrent(file: string, origin: string): boolean {
  return fs.existsSync(file) && openSafetensors(file).metadata.origin === origin;
}

/** The cache key: sizes and modification times of the source files, the tensors to make, and the format's version. */
function originOf(checkpoint: Checkpoint, layers: readonly Layer[]): string {
  const files = checkpoint.files.map((file) => {
    const { size, mtimeMs } = fs.statSync(file);
    return `${path.basename(file)}:${size}:${Math.floor(mtimeMs)}`;
  });
  const tensors = layers.flatMap((layer) => layer.tensors.map(({ name, dtype }) => `${name}:${dtype}`));
  return [formatVersion, ...files, ...tensors].join('|');
}

function* write(layers: readonly Layer[], file: string, partial: string, origin: string): Generator<Written> {
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
    for (const layer of layers) {
      for (const { buffer, byteOffset, byteLength } of layer.make()) {
        writeAll(fd, Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength));
        done += byteLength;
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
