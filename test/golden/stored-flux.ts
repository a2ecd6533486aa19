/** The small transformer of the golden data, stored in the formats that are read, and its velocity in each. */
import path from 'node:path';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { Transformer } from '../../src/engine/networks/transformer.ts';
import type { SessionOptions } from '../../src/engine/onnx/session.ts';
import { f32Tensor } from '../../src/engine/onnx/tensor.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import type { PrecisionName } from '../../src/engine/weights/conversion/layers.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { e4m3 } from '../../src/engine/weights/float8.ts';
import { readFloats } from '../../src/engine/weights/floats.ts';
import { type BlockTypeName, blockTypes } from '../../src/engine/weights/ggml-blocks.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { type GgufTensor, ggmlTypes, writeGguf } from '../fixtures/write-gguf.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { finish } from './checks/flux.ts';
import { goldenFile, openGolden } from './data.ts';

const isMatrix = ({ shape }: { shape: number[] }) => shape.length === 2;

type Setup = Pick<SessionOptions, 'device'> & { fused: boolean };

export class StoredFlux {
  readonly original = openCheckpoint(goldenFile('flux_tiny.safetensors'));
  readonly io = openGolden('flux_tiny_io.safetensors');
  readonly params = { flux_params: this.original.metadata.flux_params! };
  readonly tensors = [...this.original.tensors.values()].map((entry) => ({
    ...entry,
    values: readFloats(entry),
  }));
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The inputs of one evaluation with a reference picture. */
  async velocity(
    checkpoint: Checkpoint,
    product: PrecisionName = 'f32',
    { device, fused }: Setup = { device: 'cpu', fused: true },
  ): Promise<Float32Array> {
    const source = new WeightSource(checkpoint, fluxDialects);
    const config = fluxConfig(source);
    const cache = this.at(`${path.basename(checkpoint.path)}-${product}.cache`);
    const compute = { precision: product, fused };
    const loading = Transformer.load({ source, config }, compute, {
      device,
      threads: 1,
      preparedFile: cache,
    });
    const transformer = await finish(loading);
    const context = this.io.floats('txt');
    const sample = { x: this.io.floats('img'), time: 1000 * this.io.floats('ref.t')[0]! };
    const found = await transformer.velocity(sample, {
      context: f32Tensor(context, [context.length / config.contextIn, config.contextIn]),
      pooled: f32Tensor(this.io.floats('vec'), [1, config.vecIn]),
      references: this.io.floats('ref_img'),
      ids: Float32Array.from(['txt_ids', 'img_ids', 'ref_ids'].flatMap((name) => [...this.io.floats(name)])),
      guidance: 1000 * this.io.floats('ref.guidance')[0]!,
    });
    await transformer.release();
    return found;
  }

  /** The same numbers in f32, tensor by tensor. */
  plainTwin(checkpoint: Checkpoint): Checkpoint {
    const file = `${checkpoint.path}.f32.safetensors`;
    const plain = [...checkpoint.tensors.values()].map((entry) => [
      entry.name,
      f32([...readFloats(entry)], entry.shape),
    ]);
    writeSafetensors(file, Object.fromEntries(plain), this.params);
    return openCheckpoint(file);
  }

  /** Matrices as random blocks whose numbers are about as large as the network's own; the rest in f32. */
  writeBlocks(type: BlockTypeName): Checkpoint {
    const { values, bytes } = blockTypes[type];
    const random = generator(7);
    const stored: Record<string, GgufTensor> = {};
    const metadata: Record<string, string | number[]> = { ...this.params };
    for (const entry of this.tensors) {
      const count = entry.values.length;
      if (!isMatrix(entry) || count % values !== 0) {
        stored[entry.name] = { type: ggmlTypes.F32, shape: entry.shape, bytes: bytesOf(entry.values) };
        continue;
      }
      // Rows that no block fits are stored as rows of one block, with their shape in the metadata.
      const fits = entry.shape[1]! % values === 0;
      if (!fits) metadata[`comfy.gguf.orig_shape.${entry.name}`] = entry.shape;
      const blocks = Buffer.from(Array.from({ length: (count / values) * bytes }, () => random() * 256));
      for (let b = 0; b < blocks.length; b += bytes) writeScales(blocks.subarray(b, b + bytes), type, random);
      stored[entry.name] = {
        type: ggmlTypes[type],
        shape: fits ? entry.shape : [count / values, values],
        bytes: blocks,
      };
    }
    const file = this.at(`${type}.gguf`);
    writeGguf(file, stored, metadata);
    return openCheckpoint(file);
  }

  /** Matrices in E4M3 with a scale each, as ComfyUI's fp8_scaled; the rest in f32. */
  writeScaled(): Checkpoint {
    const stored = this.tensors.flatMap(({ name, shape, values }): [string, StoredTensor][] => {
      if (!isMatrix({ shape })) return [[name, f32([...values], shape)]];
      const scale = Math.fround(values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 448);
      const layer = name.replace(/\.weight$/, '');
      const codes = encode(
        values.map((value) => value / scale),
        e4m3,
      );
      return [
        [name, { dtype: 'F8_E4M3', shape, bytes: codes }],
        [`${layer}.scale_weight`, f32([scale], [])],
        [`${layer}.scale_input`, f32([3], [])],
      ];
    });
    const file = this.at('scaled.safetensors');
    const marker: StoredTensor = { dtype: 'F8_E4M3', shape: [0], bytes: new Uint8Array() };
    writeSafetensors(file, { ...Object.fromEntries(stored), scaled_fp8: marker }, this.params);
    return openCheckpoint(file);
  }

  private at(name: string): string {
    return path.join(this.folder, name);
  }
}

/** [scale, minimum] of a block: about ±0.1 for the largest integer, the minimum in the middle of them. */
const sizes: Record<BlockTypeName, readonly [number, number?]> = {
  Q4_0: [0.0125],
  Q4_1: [0.0125, -0.1],
  Q5_0: [0.006],
  Q5_1: [0.006, -0.1],
  Q8_0: [0.0008],
  Q4_K: [0.0004, 0.0032],
  Q5_K: [0.0002, 0.0032],
  Q6_K: [0.00005],
  Q2_K: [0.004, 0.006],
  Q3_K: [0.0008],
  IQ4_NL: [0.0008],
  IQ4_XS: [0.00003],
};

function writeScales(block: Buffer, type: BlockTypeName, random: () => number): void {
  const [scale, minimum] = sizes[type];
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const sign = random() < 0.5 ? -1 : 1;
  const from = { Q6_K: 208, Q2_K: 80, Q3_K: 108 }[type as string] ?? 0;
  view.setFloat16(from, scale * (0.5 + random()) * (minimum === undefined ? sign : 1), true);
  if (minimum !== undefined) view.setFloat16(from + 2, minimum, true);
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** The nearest code of a table. */
export function encode(values: Float32Array, table: Float32Array): Uint8Array {
  const codes = [...table.keys()].filter((code) => Number.isFinite(table[code]));
  codes.sort((a, b) => table[a]! - table[b]!);
  return Uint8Array.from(values, (value) => {
    let [low, high] = [0, codes.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (table[codes[middle]!]! <= value) low = middle;
      else high = middle;
    }
    const [below, above] = [codes[low]!, codes[high]!];
    return value - table[below]! <= table[above]! - value ? below : above;
  });
}
