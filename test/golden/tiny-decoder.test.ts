/** A model with a TAESD: previews, pictures, and errors. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import type { EncodedImage, Plan } from '../../src/engine/plan.ts';
import { pipelinePlan } from '../fixtures/plans.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-tiny-'));
const engine = createEngine({ threads: 1, memoryLimit: 4 * 2 ** 30, log: () => {} });
afterAll(async () => {
  await engine.release();
  fs.rmSync(folder, { recursive: true });
});

/** A decoder of four stages of one block, in diffusers' names. */
function writeTiny(name: string, latentChannels: number): string {
  const width = 8;
  const tensors: Record<string, StoredTensor> = {};
  const conv = (layer: string, outputs: number, inputs: number, bias = true) => {
    const shape = [outputs, inputs, 3, 3];
    const count = outputs * inputs * 9;
    const values = Array.from(
      { length: count },
      (_, i) => Math.sin(i * 2.3 + layer.length) / Math.sqrt(inputs * 9),
    );
    tensors[`decoder.layers.${layer}.weight`] = f32(values, shape);
    if (bias) tensors[`decoder.layers.${layer}.bias`] = f32(new Array(outputs).fill(0.1));
  };
  conv('0', width, latentChannels);
  for (const [stage, block] of [2, 5, 8, 11].entries()) {
    for (const part of [0, 2, 4]) conv(`${block}.conv.${part}`, width, width);
    if (stage < 3) conv(String(block + 2), width, width, false);
  }
  conv('12', 3, width);
  const file = path.join(folder, `${name}.safetensors`);
  writeSafetensors(file, tensors);
  return file;
}

async function run(
  changes: Partial<Plan>,
  tinyAutoencoder?: string,
): Promise<Record<'image' | 'preview', EncodedImage[]>> {
  const plan = pipelinePlan(folder, { prompt: 'a red car', width: 96, ...changes });
  if (tinyAutoencoder) plan.model = { ...plan.model, tinyAutoencoder };
  const seen: Record<'image' | 'preview', EncodedImage[]> = { image: [], preview: [] };
  for await (const event of engine.run(plan, new AbortController().signal))
    if (event.type === 'image' || event.type === 'preview') seen[event.type].push(event.image);
  return seen;
}

const tiny = writeTiny('tiny', 16);

test('previews come from the tiny autoencoder, the picture from the full one', async () => {
  const plain = await run({ previewEvery: 2 });
  const seen = await run({ previewEvery: 2 }, tiny);
  expect(seen.preview).toHaveLength(1);
  expect(seen.preview[0]).toMatchObject({ width: 96, height: 64 });
  expect(seen.preview[0]!.bytes).not.toEqual(plain.preview[0]!.bytes);
  expect(seen.image[0]!.bytes).toEqual(plain.image[0]!.bytes);
});

test('a plan may have its picture decoded by the tiny autoencoder', async () => {
  const [full, fast] = [await run({}, tiny), await run({ decoder: 'tiny' }, tiny)];
  expect((await decodeImage(fast.image[0]!.bytes)).data).toHaveLength(96 * 64 * 3);
  expect(fast.image[0]!.bytes).not.toEqual(full.image[0]!.bytes);
});

test('without one, a plan that asks for it is refused', async () => {
  await expect(run({ decoder: 'tiny' })).rejects.toMatchObject({
    code: 'componentMissing',
    message: expect.stringContaining(
      "test:tiny@1 comes without a tiny autoencoder, which decoder 'tiny' needs",
    ),
  });
});

test('one of other latents is refused with both', async () => {
  await expect(run({}, writeTiny('other', 4))).rejects.toMatchObject({
    code: 'modelConfigInvalid',
    message: expect.stringMatching(/4 channels for 8×8 pixels.+16 channels for 8×8 pixels/),
  });
});
