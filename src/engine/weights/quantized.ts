/**
 * Eight-bit weights of a network, made once from its checkpoint and kept in a safetensors file beside it.
 *
 * Every linear weight W [N, K] becomes i8 values [K, N] (the order MatMulInteger takes) and f32 scales [N] with
 * W[n, k] ≈ values[k, n]·scale[n], scale[n] = max|W[n, :]|/127.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Graph, Var } from '../onnx/graph.ts';
import { Checkpoint } from './checkpoint.ts';
import { openSafetensors } from './safetensors.ts';
import type { WeightSource } from './source.ts';

export type LinearShape = { name: string; inputs: number; outputs: number };

const formatVersion = '1';

export class QuantizedWeights {
  private readonly checkpoint: Checkpoint;

  constructor(checkpoint: Checkpoint) {
    this.checkpoint = checkpoint;
  }

  find(
    graph: Graph,
    name: string,
    outputs: number,
    inputs: number,
  ): { values: Var; columns: Var } | undefined {
    const values = this.checkpoint.tensors.get(`${name}.i8`);
    const scale = this.checkpoint.tensors.get(`${name}.scale`);
    if (!values || !scale) return undefined;
    return {
      values: graph.weight(`${name}.i8`, 'i8', [inputs, outputs], values),
      columns: graph.weight(`${name}.i8.scale`, 'f32', [outputs], scale),
    };
  }
}

/**
 * Opens the cached file when it was made from this very checkpoint, otherwise makes it, yielding the fraction done,
 * 0..1, after every tensor. It is written under another name and renamed when whole, so a crash leaves nothing half
 * made.
 */
export function* openQuantized(
  source: WeightSource,
  linears: readonly LinearShape[],
  file: string,
): Generator<number, QuantizedWeights> {
  const origin = originOf(source.checkpoint, linears);
  if (!isCurrent(file, origin)) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const partial = `${file}.${process.pid}.partial`;
    yield* writeQuantized(source, linears, partial, origin);
    fs.renameSync(partial, file);
  }
  const { tensors, metadata } = openSafetensors(file);
  return new QuantizedWeights(new Checkpoint(file, tensors, metadata));
}

function isCurrent(file: string, origin: string): boolean {
  return fs.existsSync(file) && openSafetensors(file).metadata.origin === origin;
}

/** What the cache depends on: the files' sizes and times, the linears and the format. */
function originOf(checkpoint: Checkpoint, linears: readonly LinearShape[]): string {
  const files = checkpoint.files.map((file) => {
    const { size, mtimeMs } = fs.statSync(file);
    return `${path.basename(file)}:${size}:${Math.floor(mtimeMs)}`;
  });
  return [formatVersion, ...files, ...linears.map((linear) => linear.name)].join('|');
}

function* writeQuantized(
  source: WeightSource,
  linears: readonly LinearShape[],
  file: string,
  origin: string,
): Generator<number> {
  const header: Record<string, unknown> = { __metadata__: { origin } };
  let end = 0;
  const place = (name: string, dtype: string, shape: number[], bytes: number) => {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  };
  for (const { name, inputs, outputs } of linears) {
    place(`${name}.weight.scale`, 'F32', [outputs], outputs * 4);
    // Scales stay aligned when the values before them fill whole words.
    place(`${name}.weight.i8`, 'I8', [inputs, outputs], inputs * outputs);
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  const fd = fs.openSync(file, 'w');
  try {
    writeAll(fd, prefix);
    writeAll(fd, padded);
    for (const [i, { name, inputs, outputs }] of linears.entries()) {
      const { values, scale } = quantizeColumns(source.floats(`${name}.weight`), outputs, inputs);
      writeAll(fd, Buffer.from(scale.buffer));
      writeAll(fd, Buffer.from(values.buffer));
      yield (i + 1) / linears.length;
    }
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  let at = 0;
  while (at < bytes.length) at += fs.writeSync(fd, bytes, at, bytes.length - at);
}

/** W [N, K] row-major to i8 [K, N] with scales [N]. */
export function quantizeColumns(
  weight: Float32Array,
  outputs: number,
  inputs: number,
): { values: Int8Array; scale: Float32Array } {
  const values = new Int8Array(inputs * outputs);
  const scale = new Float32Array(outputs);
  const tile = 64; // columns written together: the transposed writes of one tile share cache lines
  for (let first = 0; first < outputs; first += tile) {
    const last = Math.min(first + tile, outputs);
    const inverse = new Float64Array(tile);
    for (let n = first; n < last; n++) {
      let largest = 0;
      for (let k = n * inputs; k < (n + 1) * inputs; k++) largest = Math.max(largest, Math.abs(weight[k]!));
      scale[n] = largest / 127;
      inverse[n - first] = largest === 0 ? 0 : 127 / largest;
    }
    for (let k = 0; k < inputs; k++)
      for (let n = first; n < last; n++)
        values[k * outputs + n] = Math.round(weight[n * inputs + k]! * inverse[n - first]!);
  }
  return { values, scale };
}
