import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { autoencoderDiffusers, autoencoderTensors } from '../../bench/full-size/autoencoder.ts';
import { clipTensors, realLayers, t5Fp8, t5Gguf, t5Tensors } from '../../bench/full-size/text-encoders.ts';
import { clipVocabulary, t5Vocabulary } from '../../bench/full-size/tokenizers.ts';
import {
  realDepth,
  transformerBf16,
  transformerDiffusers,
  transformerFp8,
  transformerGguf,
} from '../../bench/full-size/transformer.ts';
import { Values } from '../../bench/full-size/values.ts';
import { ggufLayout, writeGguf } from '../../bench/full-size/write-gguf.ts';
import { safetensorsLayout, writeSafetensors } from '../../bench/full-size/write-safetensors.ts';
import { readFloats } from '../../src/engine/weights/floats.ts';
import { openGguf } from '../../src/engine/weights/gguf.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import type { TensorFile } from '../../src/engine/weights/stored.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-full-size-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const metadata = { format: 'pt' };
const flux = {
  'general.architecture': 'flux',
  'general.quantization_version': 2,
  'general.file_type': 14,
};

// Sizes of the published files. Every name, shape and type is in them, since the header lists all.
test.each([
  [
    'flux1-dev-kontext_fp8_scaled.safetensors',
    () => safetensorsLayout(transformerFp8(realDepth)),
    11904640136,
  ],
  ['flux1-kontext-dev-Q4_K_S.gguf', () => ggufLayout(transformerGguf(realDepth, 'Q4_K'), flux), 6797337888],
  ['flux1-kontext-dev-Q8_0.gguf', () => ggufLayout(transformerGguf(realDepth, 'Q8_0'), flux), 12714452256],
  ['t5xxl_fp8_e4m3fn_scaled.safetensors', () => safetensorsLayout(t5Fp8(realLayers)), 5157348688],
  ['t5xxl_fp16.safetensors', () => safetensorsLayout(t5Tensors(realLayers, 'F16', false)), 9787841024],
  ['clip_l.safetensors', () => safetensorsLayout(clipTensors('F16'), metadata), 246144152],
  [
    'vae/diffusion_pytorch_model.safetensors',
    () => safetensorsLayout(autoencoderDiffusers(), metadata),
    167666902,
  ],
] as const)('the synthetic %s has the size of the published file', (_, layout, size) => {
  expect(layout().size).toBe(size);
});

test('files whose headers hold more than tensors have the bytes of the published tensors', () => {
  const payload = (tensors: Parameters<typeof safetensorsLayout>[0]) => {
    const { header, size } = safetensorsLayout(tensors);
    return size - header.length;
  };
  expect(payload(autoencoderTensors())).toBe(335278732);
  expect(payload(transformerBf16(realDepth))).toBe(23802816640);
  expect(payload(transformerDiffusers(realDepth))).toBe(23802816640);
  // The published 3,386,856,640 bytes include the tokenizer.
  expect(ggufLayout(t5Gguf(realLayers), {}).size).toBe(3385832928);
});

test('vocabularies have the real sizes and no word twice', () => {
  const { vocabulary, merges } = clipVocabulary();
  expect([vocabulary.length, new Set(vocabulary).size, merges.length]).toEqual([49408, 49408, 48894]);
  const pieces = t5Vocabulary().map(([piece]) => piece);
  expect([pieces.length, new Set(pieces).size]).toEqual([32100, 32100]);
});

test.each(['F32', 'F16', 'BF16', 'F8_E4M3'] as const)(
  'tensors of %s have the deviation asked for',
  (dtype) => {
    const file = path.join(folder, `${dtype}.safetensors`);
    const tensors = ['a.weight', 'b.weight'].map((name) => ({
      ...{ name, dtype, shape: [64, 1024], mean: 0 },
      std: 0.5,
    }));
    writeSafetensors(file, tensors, { values: new Values(1) });
    checkDeviations(openSafetensors(file), 0.5);
  },
);

test.each(['Q8_0', 'Q4_K', 'Q5_K', 'Q6_K'] as const)('blocks of %s have the deviation asked for', (dtype) => {
  const file = path.join(folder, `${dtype}.gguf`);
  const tensors = ['a.weight', 'b.weight'].map((name) => ({
    ...{ name, dtype, shape: [64, 1024], mean: 0 },
    std: 0.02,
  }));
  writeGguf(file, tensors, { metadata: {}, values: new Values(1) });
  checkDeviations(openGguf(file), 0.02);
});

/** Within an eighth, with no mean, and no two tensors alike. */
function checkDeviations({ tensors }: TensorFile, std: number): void {
  const read = [...tensors.values()].map((entry) => readFloats(entry));
  for (const values of read) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.05 * std);
    expect(Math.abs(Math.sqrt(variance) / std - 1)).toBeLessThan(0.125);
  }
  expect(read[0]!.every((value, i) => value === read[1]![i])).toBe(false);
}
