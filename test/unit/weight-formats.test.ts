/** Quantised numbers against independent readers (the gguf package, torch), and files that are damaged. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { prefixed } from '../../src/engine/weights/dialects/index.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { readFloats } from '../../src/engine/weights/floats.ts';
import { blockTypes } from '../../src/engine/weights/ggml-blocks.ts';
import { openGguf } from '../../src/engine/weights/gguf.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { storedTypes, type TensorEntry } from '../../src/engine/weights/stored.ts';
import { RetouchError } from '../../src/error.ts';
import { ggmlTypes, writeGguf } from '../fixtures/write-gguf.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';

const data = (name: string) => path.join(import.meta.dirname, '../data/quantized', name);
const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-formats-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

/** Equal to the last bit, so that −0 is not 0; one NaN is as good as another. */
function expectSameBits(found: Float32Array, expected: Float32Array): void {
  const bits = (values: Float32Array) => [
    ...new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer),
  ];
  expect(bits(found)).toEqual(bits(expected));
}

function failureOf(action: () => unknown): RetouchError {
  try {
    action();
  } catch (error) {
    if (error instanceof RetouchError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

describe('a GGUF file', () => {
  const blocks = openGguf(data('ggml_blocks.gguf'));
  const more = openGguf(data('ggml_more_blocks.gguf'));
  const merge = (...files: { tensors: Map<string, TensorEntry> }[]) =>
    new Map(files.flatMap(({ tensors }) => [...tensors]));
  const found = merge(blocks, more);
  const expected = merge(
    openSafetensors(data('ggml_blocks.safetensors')),
    openSafetensors(data('ggml_more_blocks.safetensors')),
  );

  test.each([...Object.keys(blockTypes), 'F32', 'F16', 'BF16', 'reshaped'])(
    'has the numbers that the gguf package reads: %s',
    (name) => {
      const entry = found.get(name)!;
      expect(entry.shape).toEqual(expected.get(name)!.shape);
      expectSameBits(readFloats(entry), readFloats(expected.get(name)!));
    },
  );

  test('holds in the test data what is easily got wrong', () => {
    const scales = (name: string, byte: number, step: number) => {
      const entry = blocks.tensors.get(name)!;
      const bytes = fs.readFileSync(entry.file).subarray(entry.offset, entry.offset + entry.length);
      return Array.from({ length: bytes.length / step }, (_, i) => bytes.readUInt16LE(i * step + byte));
    };
    for (const found of [scales('Q4_0', 0, 18), scales('Q8_0', 0, 34), scales('Q6_K', 208, 210)]) {
      expect(found.some((bits) => bits & 0x8000)).toBe(true);
      expect(found.some((bits) => (bits & 0x7c00) === 0 && bits & 0x3ff)).toBe(true);
    }
  });

  test('says its metadata, but no vocabulary', () => {
    expect(blocks.metadata).toMatchObject({
      'general.architecture': 'flux',
      'general.name': 'blocks of every type',
      'general.alignment': '64',
      'comfy.gguf.orig_shape.reshaped': '10,128,2',
    });
    expect(Object.keys(blocks.metadata)).not.toContain('tokenizer.ggml.tokens');
  });

  test('without any metadata is read, as stable-diffusion.cpp writes it, and in version 2', () => {
    const values = Float32Array.from({ length: 6 }, (_, i) => i);
    const tensor = { type: ggmlTypes.F32, shape: [3, 2], bytes: new Uint8Array(values.buffer) };
    writeGguf(at('plain.gguf'), { 'img_in.weight': tensor }, {}, { version: 2 });
    const source = new WeightSource(openCheckpoint(at('plain.gguf')), fluxDialects);
    expect(source.shape('img_in.weight')).toEqual([3, 2]);
    expect([...source.rows('img_in.weight', [2])]).toEqual([4, 5]);
  });

  test('is known by its first bytes, whatever its name', () => {
    fs.copyFileSync(data('ggml_blocks.gguf'), at('misnamed.safetensors'));
    expect(openCheckpoint(at('misnamed.safetensors')).tensors.get('Q4_K')!.dtype).toBe('Q4_K');
  });

  test('gives single rows of a table of blocks', () => {
    const source = new WeightSource(openCheckpoint(data('ggml_blocks.gguf')), [
      prefixed('plain', '', 'Q4_0'),
    ]);
    for (const name of ['Q8_0', 'Q5_K'])
      expectSameBits(source.rows(name, [3]), source.floats(name).slice(3 * 512, 4 * 512));
  });

  const one = { x: { type: ggmlTypes.Q8_0, shape: [2, 64], bytes: new Uint8Array(4 * 34) } };
  const named = 'general.architecture';

  test.each<[string, string, RegExp, (file: string) => void]>([
    ['is empty', 'checkpointTruncated', /has 0 bytes/, (file) => fs.writeFileSync(file, '')],
    [
      'of version 1',
      'checkpointInvalid',
      /at byte 4, its version is 1, expected 2 or 3/,
      (file) => writeGguf(file, one, {}, { version: 1 }),
    ],
    [
      'of a big-endian machine',
      'checkpointInvalid',
      /version is 50331648 \(was it written for a big-endian/,
      (file) => writeGguf(file, one, {}, { version: 3 << 24 }),
    ],
    [
      'cut short in its numbers',
      'checkpointTruncated',
      /has 228 bytes, its header promises 232/,
      (file) => writeGguf(file, one, {}, { change: (bytes) => bytes.subarray(0, 228) }),
    ],
    [
      'cut short in its header',
      'checkpointTruncated',
      /has 70 bytes/,
      (file) => writeGguf(file, one, { [named]: 'flux' }, { change: (bytes) => bytes.subarray(0, 70) }),
    ],
    [
      'that promises too many tensors',
      'checkpointInvalid',
      /at byte 8, it promises 1099511627777 tensors, but has room for at most/,
      (file) => writeGguf(file, one, {}, { change: (bytes) => Buffer.from(bytes.fill(1, 13, 14)) }),
    ],
    [
      'with a text longer than the file',
      'checkpointTruncated',
      /its header promises/,
      (file) =>
        writeGguf(file, one, { [named]: 'flux' }, { change: (bytes) => Buffer.from(bytes.fill(1, 26, 27)) }),
    ],
    [
      'with rows that are no whole blocks',
      'checkpointInvalid',
      /tensor x \(Q8_0 \[2,60\]\) has rows of 60, not of 32-blocks/,
      (file) => writeGguf(file, { x: { ...one.x, shape: [2, 60] } }),
    ],
    [
      'with five axes',
      'checkpointInvalid',
      /tensor x has 5 axes/,
      (file) => writeGguf(file, { x: { ...one.x, shape: [1, 1, 1, 2, 64] } }),
    ],
    [
      'with an original shape of another size',
      'checkpointInvalid',
      /tensor x has sizes \[2,64\], but its orig_shape is \[3,64\]/,
      (file) => writeGguf(file, one, { 'comfy.gguf.orig_shape.x': [3, 64] }),
    ],
    [
      'with an alignment that is no power of two',
      'checkpointInvalid',
      /general.alignment is 48/,
      (file) => writeGguf(file, one, {}, { alignment: 48 }),
    ],
  ])('that is damaged says where and how: %s', (name, code, message, write) => {
    const file = at(`${name}.gguf`);
    write(file);
    const error = failureOf(() => openGguf(file));
    expect(error.message).toMatch(message);
    expect(error.message).toContain(file);
    expect(error.code).toBe(code);
  });

  test('cut or changed at any byte of its header is read or refused, and nothing else', () => {
    const file = at('changed.gguf');
    const metadata = { [named]: 'flux', 'comfy.gguf.orig_shape.x': [2, 64] };
    writeGguf(file, { ...one, y: { type: ggmlTypes.F32, shape: [3], bytes: new Uint8Array(12) } }, metadata);
    const whole = fs.readFileSync(file);
    const refusals = new Set<string>();
    const read = (bytes: Buffer) => {
      fs.writeFileSync(file, bytes);
      try {
        openGguf(file);
      } catch (error) {
        if (!(error instanceof RetouchError)) throw error;
        refusals.add(error.code);
      }
    };
    for (let i = 0; i < 256; i++) {
      read(whole.subarray(0, i));
      for (const value of [0, 0x7f, 0xff, whole[i]! ^ 1]) {
        const bytes = Buffer.from(whole);
        bytes[i] = value;
        read(bytes);
      }
    }
    expect([...refusals].sort()).toEqual(['checkpointInvalid', 'checkpointTruncated']);
  });

  test('with a type that is not read names it when the tensor is asked for', () => {
    writeGguf(at('iq3.gguf'), { probe: { type: 21, shape: [256], bytes: new Uint8Array(110) } });
    const source = new WeightSource(openCheckpoint(at('iq3.gguf')), [prefixed('plain', '', 'probe')]);
    expect(failureOf(() => source.floats('probe'))).toMatchObject({
      code: 'dtypeUnsupported',
      message: expect.stringMatching(/IQ3_S.*Q4_0/),
    });
  });

  test('of a T5 by llama.cpp is read by its own names', () => {
    const tensor = (value: number, shape = [1]) => ({
      type: ggmlTypes.F32,
      shape,
      bytes: new Uint8Array(Float32Array.of(value).buffer),
    });
    const names: Record<string, string> = {
      'shared.weight': 'token_embd.weight',
      'encoder.final_layer_norm.weight': 'enc.output_norm.weight',
      'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight': 'enc.blk.0.attn_rel_b.weight',
      'encoder.block.0.layer.0.SelfAttention.q.weight': 'enc.blk.0.attn_q.weight',
      'encoder.block.0.layer.0.SelfAttention.o.weight': 'enc.blk.0.attn_o.weight',
      'encoder.block.0.layer.0.layer_norm.weight': 'enc.blk.0.attn_norm.weight',
      'encoder.block.0.layer.1.DenseReluDense.wi_0.weight': 'enc.blk.0.ffn_gate.weight',
      'encoder.block.0.layer.1.DenseReluDense.wi_1.weight': 'enc.blk.0.ffn_up.weight',
      'encoder.block.0.layer.1.DenseReluDense.wo.weight': 'enc.blk.0.ffn_down.weight',
      'encoder.block.0.layer.1.layer_norm.weight': 'enc.blk.0.ffn_norm.weight',
      'encoder.block.1.layer.0.SelfAttention.q.weight': 'enc.blk.1.attn_q.weight',
    };
    const stored = Object.values(names).map((name, i) => [name, tensor(i)] as const);
    writeGguf(at('t5.gguf'), Object.fromEntries(stored));
    const source = new WeightSource(openCheckpoint(at('t5.gguf')), t5Dialects);
    expect(source.dialect.name).toBe('llama.cpp');
    for (const [i, name] of Object.keys(names).entries()) expect([...source.floats(name)]).toEqual([i]);
    expect(source.count('encoder.block', 'layer.0.SelfAttention.q.weight')).toBe(2);
  });
});

describe('eight-bit floats', () => {
  const stored = openSafetensors(data('float8.safetensors'));
  const values = openSafetensors(data('float8_values.safetensors'));

  test.each(['e4m3', 'e5m2'])('are the numbers that torch has for all 256 codes of %s', (name) => {
    expectSameBits(readFloats(stored.tensors.get(name)!), readFloats(values.tensors.get(name)!));
  });

  const f8 = (codes: number[], shape: number[]): StoredTensor => ({
    dtype: 'F8_E4M3',
    shape,
    bytes: Uint8Array.from(codes),
  });
  const scalar = (value: number) => f32([value], []);

  test.each(['scale_weight', 'weight_scale'])('are multiplied with the scale beside them: %s', (suffix) => {
    writeSafetensors(at('scaled.safetensors'), {
      'a.weight': f8([0x38, 0xb8], [1, 2]),
      [`a.${suffix}`]: scalar(0.3),
      'a.scale_input': scalar(100),
      'a.bias': f32([5]),
    });
    const source = new WeightSource(openCheckpoint(at('scaled.safetensors')), [
      prefixed('plain', '', 'a.weight'),
    ]);
    expect([...source.floats('a.weight')]).toEqual([Math.fround(0.3), -Math.fround(0.3)]);
    expect([...source.floats('a.bias')]).toEqual([5]);
  });

  test('whose scale is missing in a file that says they are scaled are refused', () => {
    const shared = { scaled_fp8: f8([], [0]), 'a.weight': f8([0x38], [1, 1]) };
    writeSafetensors(at('unscaled.safetensors'), shared);
    expect(failureOf(() => openCheckpoint(at('unscaled.safetensors')))).toMatchObject({
      code: 'tensorMissing',
      message: expect.stringContaining('no tensor a.scale_weight'),
    });
    writeSafetensors(at('whole.safetensors'), { ...shared, 'a.scale_weight': scalar(2) });
    expect(openCheckpoint(at('whole.safetensors')).tensors.get('a.weight')!.scale).toEqual(
      Float32Array.of(2),
    );
  });

  test('with a scale that is no number are refused', () => {
    for (const scale of [scalar(Number.NaN), scalar(Number.POSITIVE_INFINITY)]) {
      writeSafetensors(at('odd.safetensors'), { 'a.weight': f8([1], [1, 1]), 'a.scale_weight': scale });
      expect(failureOf(() => openCheckpoint(at('odd.safetensors'))).code).toBe('checkpointInvalid');
    }
  });
});

test('the table of sizes has every type of blocks as its reader has it', () => {
  for (const [name, { values, bytes }] of Object.entries(blockTypes))
    expect(storedTypes[name as keyof typeof blockTypes]).toEqual({ values, bytes });
});
