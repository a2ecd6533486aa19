/**
 * The transformer of flux_tiny stored in every format that is read: its velocities are those of the numbers that the
 * file stands for, which test/unit/weight-formats.test.ts holds against independent readers.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { t5Config, t5Feeds, t5Graph } from '../../src/engine/models/t5.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import type { PrecisionName } from '../../src/engine/weights/conversion/layers.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { e4m3, e5m2 } from '../../src/engine/weights/float8.ts';
import { readFloats } from '../../src/engine/weights/floats.ts';
import { type BlockTypeName, blockTypes } from '../../src/engine/weights/ggml-blocks.ts';
import { PreparedWeights } from '../../src/engine/weights/prepared.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { type GgufTensor, ggmlTypes, writeGguf } from '../fixtures/write-gguf.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { difference, printRelativeL2 } from './compare.ts';
import { expectClose, goldenFile, openGolden } from './data.ts';
import { bytesOf, encode, StoredFlux } from './stored-flux.ts';
import { block, blocks8, fourBits, halfBlock } from './tolerance.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-formats-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const flux = new StoredFlux(folder);
const { original, io, params, tensors } = flux;
const velocity = (checkpoint: Checkpoint, product?: PrecisionName) => flux.velocity(checkpoint, product);

const blockNames = Object.keys(blockTypes) as BlockTypeName[];
const fourBitNames = ['Q4_0', 'Q4_1', 'Q4_K'] as const;

describe.each(blockNames)('a GGUF file of %s', (type) => {
  const checkpoint = flux.writeBlocks(type);
  const twin = flux.plainTwin(checkpoint);

  test('gives the velocities of the numbers it stands for', async () => {
    expect([...checkpoint.tensors.values()].filter(({ dtype }) => dtype === type).length).toBeGreaterThan(30);
    const { relativeL2 } = difference(await velocity(checkpoint), await velocity(twin));
    expect(relativeL2).toBeLessThanOrEqual(block);
  });

  test('is computed in int8 from the numbers it stands for', async () => {
    expect(await velocity(checkpoint, 'int8')).toEqual(await velocity(twin, 'int8'));
  });

  test('loses in blocks of eight bits no more than the rounding of activations', async () => {
    const { relativeL2 } = difference(await velocity(checkpoint, 'int8-blocks'), await velocity(twin));
    printRelativeL2(`${type} in int8-blocks`, relativeL2);
    expect(relativeL2).toBeLessThanOrEqual(blocks8);
  });
});

/** The values of a prepared file's blocks: w = (stored − half)·scale + offset. */
function unpack(file: string, name: string, bits: 4 | 8): Float32Array {
  const { tensors } = openSafetensors(file);
  const read = (suffix: string) => tensors.get(`${name}.weight.${suffix}`);
  const stored = fs.readFileSync(file).subarray(read('blocks')!.offset);
  const scale = readFloats(read('scale')!);
  const offset = read('offset') && readFloats(read('offset')!);
  return Float32Array.from({ length: scale.length * 32 }, (_, i) => {
    const value = bits === 8 ? stored[i]! : (stored[i >> 1]! >> (4 * (i & 1))) & 15;
    const b = Math.floor(i / 32);
    return (value - 2 ** (bits - 1)) * scale[b]! + (offset?.[b] ?? 0);
  });
}

describe('blocks are copied, not rounded again', () => {
  const names = ['double_blocks.0.img_attn.qkv', 'single_blocks.2.linear2', 'double_blocks.1.txt_mlp.2'];
  test.each<[BlockTypeName, 'int4' | 'int8-blocks']>([
    ...fourBitNames.map((type): [BlockTypeName, 'int4'] => [type, 'int4']),
    ...blockNames
      .filter((type) => blockTypes[type].group === 32)
      .map((type): [BlockTypeName, 'int8-blocks'] => [type, 'int8-blocks']),
  ])('from %s to %s', async (type, product) => {
    const checkpoint = openCheckpoint(at(`${type}.gguf`));
    await velocity(checkpoint, product);
    for (const name of names) {
      const found = unpack(at(`${type}.gguf-${product}.cache`), name, product === 'int4' ? 4 : 8);
      const expected = readFloats(checkpoint.tensors.get(`${name}.weight`)!);
      // The order of two additions: a bit of f32.
      expect(difference(found, expected).relativeL2).toBeLessThan(1e-7);
    }
  });

  test.each(fourBitNames)('and %s computes in int4 what its numbers give in f32', async (type) => {
    const checkpoint = openCheckpoint(at(`${type}.gguf`));
    const expected = await velocity(openCheckpoint(`${checkpoint.path}.f32.safetensors`));
    const { relativeL2 } = difference(await velocity(checkpoint, 'int4'), expected);
    printRelativeL2(`${type} in int4`, relativeL2);
    expect(relativeL2).toBeLessThanOrEqual(blocks8);
  });
});

describe('the weights of an f32 file', () => {
  const expected = () => io.floats('ref.out');
  const near = async (product: PrecisionName) => {
    const found = (await velocity(original, product)).subarray(0, expected().length);
    const { relativeL2 } = difference(found, expected());
    printRelativeL2(`an f32 file in ${product}`, relativeL2);
    return relativeL2;
  };

  test('in blocks of eight bits stay near the reference', async () => {
    expect(await near('int8-blocks')).toBeLessThanOrEqual(blocks8);
  });

  test('in four bits stay within what four bits are', async () => {
    expect(await near('int4')).toBeLessThanOrEqual(fourBits);
  });

  test('in four bits compute what the rounded numbers give in f32', async () => {
    await near('int4');
    const file = at('flux_tiny.safetensors-int4.cache');
    const rounded = tensors.map(({ name, shape, values }): [string, StoredTensor] => {
      const isRounded = openSafetensors(file).tensors.has(`${name}.blocks`);
      return [name, f32([...(isRounded ? unpack(file, name.replace(/\.weight$/, ''), 4) : values)], shape)];
    });
    writeSafetensors(at('rounded.safetensors'), Object.fromEntries(rounded), params);
    const found = await velocity(original, 'int4');
    const { relativeL2 } = difference(found, await velocity(openCheckpoint(at('rounded.safetensors'))));
    expect(relativeL2).toBeLessThanOrEqual(blocks8);
  });
});

describe('a file in eight-bit floats', () => {
  test.each(['F8_E4M3', 'F8_E5M2'] as const)(
    'of %s, biases and norms too, gives its velocities',
    async (dtype) => {
      const table = dtype === 'F8_E4M3' ? e4m3 : e5m2;
      const stored = tensors.map(({ name, shape, values }) => [
        name,
        { dtype, shape, bytes: encode(values, table) },
      ]);
      writeSafetensors(at(`${dtype}.safetensors`), Object.fromEntries(stored), params);
      const checkpoint = openCheckpoint(at(`${dtype}.safetensors`));
      const twin = flux.plainTwin(checkpoint);
      for (const product of ['f32', 'int8', 'int4'] as const)
        expect(
          difference(await velocity(checkpoint, product), await velocity(twin, product)).relativeL2,
        ).toBeLessThanOrEqual(block);
    },
  );

  test('with scales (fp8_scaled) gives the velocities of the scaled numbers, near those unscaled', async () => {
    const checkpoint = flux.writeScaled();
    const found = await velocity(checkpoint);
    expect(difference(found, await velocity(flux.plainTwin(checkpoint))).relativeL2).toBeLessThanOrEqual(
      block,
    );
    // Three bits of mantissa: each number within 1/16 of itself.
    expect(difference(found, await velocity(original)).relativeL2).toBeLessThanOrEqual(6e-2);
  });
});

test.each([
  ['F16', halfBlock],
  ['BF16', 3e-2],
] as const)('a GGUF file of %s stays within its rounding of the reference', async (type, tolerance) => {
  const stored = tensors.map(({ name, shape, values }): [string, GgufTensor] => {
    if (type === 'F16') {
      const half = new Float16Array(values);
      return [name, { type: ggmlTypes.F16, shape, bytes: new Uint8Array(half.buffer) }];
    }
    const upper = new Uint16Array(new Uint32Array(values.slice().buffer).map((bits) => bits >>> 16));
    return [name, { type: ggmlTypes.BF16, shape, bytes: new Uint8Array(upper.buffer) }];
  });
  writeGguf(at(`${type}.gguf`), Object.fromEntries(stored), params);
  const found = await velocity(openCheckpoint(at(`${type}.gguf`)));
  expect(difference(found, io.floats('ref.out').subarray(0, found.length)).relativeL2).toBeLessThanOrEqual(
    tolerance,
  );
});

test('a T5 in the names of llama.cpp is the reference', async () => {
  const names: [RegExp, string][] = [
    [/^shared\./, 'token_embd.'],
    [/^encoder\.final_layer_norm/, 'enc.output_norm'],
    [/^encoder\.block\./, 'enc.blk.'],
    [/layer\.0\.SelfAttention\.relative_attention_bias/, 'attn_rel_b'],
    [/layer\.0\.SelfAttention\./, 'attn_'],
    [/layer\.0\.layer_norm/, 'attn_norm'],
    [/layer\.1\.DenseReluDense\.wi_0/, 'ffn_gate'],
    [/layer\.1\.DenseReluDense\.wi_1/, 'ffn_up'],
    [/layer\.1\.DenseReluDense\.wo/, 'ffn_down'],
    [/layer\.1\.layer_norm/, 'ffn_norm'],
  ];
  const t5 = openCheckpoint(goldenFile('t5_tiny.safetensors'));
  const stored = [...t5.tensors.values()].map((entry): [string, GgufTensor] => {
    const name = names.reduce((text, [from, to]) => text.replace(from, to), entry.name);
    return [name, { type: ggmlTypes.F32, shape: entry.shape, bytes: bytesOf(readFloats(entry)) }];
  });
  writeGguf(at('t5.gguf'), Object.fromEntries(stored), { 'general.architecture': 't5encoder' });
  const source = new WeightSource(openCheckpoint(at('t5.gguf')), t5Dialects);
  const golden = openGolden('t5_tiny_io.safetensors');
  const config = t5Config(source);
  const session = await Session.compile(t5Graph(source, config, { precision: 'f32', fused: true }), {
    device: 'cpu',
    threads: 1,
  });
  const { last_hidden_state } = await session.run(t5Feeds(source, config, golden.integers('input_ids')));
  await session.release();
  expectClose('last_hidden_state', last_hidden_state!, golden.floats('last_hidden_state'), block);
});

test('weights are prepared only where they must be', () => {
  expect(fs.readdirSync(folder)).not.toContain('F16.gguf-f32.cache');
  expect(new PreparedWeights(new Checkpoint('', new Map())).floats('x')).toBeUndefined();
});

test('weights that the disk has no room for are not begun', async () => {
  const full = vi.spyOn(fs, 'statfsSync').mockReturnValue({ bavail: 1, bsize: 4096 } as fs.StatsFs);
  const checkpoint = openCheckpoint(at('Q4_0.gguf'));
  const copy = new Checkpoint(at('elsewhere.gguf'), checkpoint.tensors, checkpoint.metadata);
  await expect(velocity(copy, 'int4')).rejects.toMatchObject({
    code: 'cacheFull',
    message: expect.stringMatching(/takes [\d.]+ KiB of disk, and .* has 4\.0 KiB free.*--precision int4/),
  });
  full.mockRestore();
  expect(fs.readdirSync(folder).filter((name) => name.startsWith('elsewhere'))).toEqual([]);
});
