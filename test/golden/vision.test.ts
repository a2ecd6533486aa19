/** Image encoders and their pictures against transformers: test/data/reference/vision.py made the data. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { prepareGuideImage } from '../../src/engine/adapters/ip-adapter/guide-image.ts';
import { clipVisionConfig, clipVisionGraph } from '../../src/engine/models/clip-vision.ts';
import { siglipVisionConfig, siglipVisionGraph } from '../../src/engine/models/siglip-vision.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor } from '../../src/engine/onnx/tensor.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { clipVisionDialects, siglipVisionDialects } from '../../src/engine/weights/dialects/vision.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { Tensors } from './checks/check.ts';
import { difference } from './compare.ts';
import { expectClose, renamed } from './data.ts';
import { block } from './tolerance.ts';

const file = (name: string) => path.join(import.meta.dirname, '../data/vision', `${name}.safetensors`);

const encoders = {
  clip: { dialects: clipVisionDialects, configure: clipVisionConfig, build: clipVisionGraph },
  siglip: { dialects: siglipVisionDialects, configure: siglipVisionConfig, build: siglipVisionGraph },
};
type Name = keyof typeof encoders;

async function run(name: Name, checkpoint: Checkpoint, pixels: Float32Array, fused = true) {
  const { dialects, configure, build } = encoders[name];
  const source = new WeightSource(checkpoint, dialects);
  const config = configure(source);
  const session = await Session.compile(build(source, config, { precision: 'f32', fused }), {
    device: 'cpu',
    threads: 1,
  });
  const results = await session.run({ image: f32Tensor(pixels, [1, 3, config.size, config.size]) });
  await session.release();
  return results;
}

describe.each(Object.keys(encoders) as Name[])('the image encoder of %s', (name) => {
  const checkpoint = openCheckpoint(file(name));
  const io = new Tensors(file(`${name}_io`));
  const { dialects, configure } = encoders[name];
  const config = configure(new WeightSource(checkpoint, dialects));

  test('reads its sizes from the tensors, the rest from the configuration', () => {
    expect(config).toMatchObject({ hidden: 40, heads: 4, mlp: 72, layers: 3, size: 28, patch: 7 });
    expect(config.features).toBe(name === 'clip' ? 24 : 40);
  });

  test.each([0, 1, 2, 3])('sees picture %i as the reference processor shows it', (i) => {
    const entry = openSafetensors(file(`${name}_io`)).tensors.get(`picture${i}`)!;
    const [height, width] = entry.shape as [number, number, number];
    const found = prepareGuideImage({ width, height, data: readBytes(entry) }, config);
    // The pixels are the same bytes: only the division and the mean are rounded.
    expect(difference(found, io.floats(`pixels${i}`)).maxAbs).toBeLessThan(1e-6);
  });

  test.each([true, false])('gives the reference’s features, fused attention %s', async (fused) => {
    const results = await run(name, checkpoint, io.floats('pixels0'), fused);
    expectClose('features', results.features!, io.floats('features0'), block);
    expectClose('penultimate', results.penultimate!, io.floats('penultimate0'), block);
    expect(difference(io.floats('features1'), io.floats('features0')).relativeL2).toBeGreaterThan(0.1);
  });

  test('is the same with and without the prefix of its names', async () => {
    const rename = (stored: string) =>
      stored.startsWith('vision_model.') ? stored.replace('vision_model.', '') : `vision_model.${stored}`;
    const other = renamed(checkpoint, rename);
    const names = name === 'clip' ? renamed(other, (n) => n.replace('vision_model.visual', 'visual')) : other;
    const results = await run(name, names, io.floats('pixels1'));
    expectClose('features', results.features!, io.floats('features1'), block);
  });

  test('whose heads are not told and cannot be guessed is an error with the numbers', () => {
    const bare = new Checkpoint('bare', checkpoint.tensors);
    expect(() => configure(new WeightSource(bare, dialects))).toThrow(/bare: 40 channels in NaN heads/);
  });
});
