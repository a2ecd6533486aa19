/**
 * The bundled classifier against the package its weights come from (test/data/reference/photos.mjs), and an operator's
 * against transformers (vit.py).
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { resizeTriangle } from '../../src/engine/image/resample.ts';
import { vitConfig, vitGraph } from '../../src/engine/models/vit.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor } from '../../src/engine/onnx/tensor.ts';
import type { ToolSource } from '../../src/engine/plan.ts';
import { nsfwMobilenet } from '../../src/engine/safety/mobilenet.ts';
import type { ContentClassifier } from '../../src/engine/safety/types.ts';
import { readPreparation, vit } from '../../src/engine/safety/vit.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { vitDialects } from '../../src/engine/weights/dialects/vit.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { photoFile, picture } from '../fixtures/photos.ts';
import { bundledClassifier, drain } from '../fixtures/tools.ts';
import { Tensors } from './checks/check.ts';
import { difference } from './compare.ts';
import { expectClose } from './data.ts';
import { block } from './tolerance.ts';

describe('the bundled classifier gives the probabilities of nsfwjs', () => {
  const expected: Record<string, Record<string, number>> = JSON.parse(
    readFileSync(photoFile('content.json'), 'utf8'),
  );
  let classifier: ContentClassifier | undefined;

  test.each(Object.keys(expected))('%s', async (name) => {
    classifier ??= await drain(nsfwMobilenet.load(bundledClassifier, 1));
    const found = await classifier.classify(await picture(name));
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected[name]!).sort());
    for (const [label, value] of Object.entries(expected[name]!))
      expect(Math.abs(found[label]! - value), `${label} ${found[label]}`).toBeLessThan(1e-4);
  });
});

describe("an operator's ViT", () => {
  const folder = path.join(import.meta.dirname, '../data/vit/model');
  const file = path.join(import.meta.dirname, '../data/vit/io.safetensors');
  const io = new Tensors(file);
  const bitmapOf = (name: string) => {
    const entry = openSafetensors(file).tensors.get(name)!;
    const [height, width] = entry.shape as [number, number];
    return { width, height, data: new Uint8Array(readBytes(entry)) };
  };
  const source = new WeightSource(openCheckpoint(folder), vitDialects);
  const tool = (settings: ToolSource['settings'] = {}): ToolSource => ({
    air: 'test:vit@1',
    architecture: 'vit',
    files: { weights: folder },
    settings,
  });

  test('sizes are read from the tensors, the rest from the configuration', () => {
    expect(vitConfig(source)).toEqual({
      hidden: 48,
      heads: 4,
      mlp: 96,
      layers: 3,
      activation: 'gelu',
      epsilon: 1e-12,
      size: 32,
      patch: 8,
      labels: ['normal', 'nsfw'],
    });
  });

  test.each([true, false])('logits are those of transformers, fused attention %s', async (fused) => {
    const graph = vitGraph(source, vitConfig(source), { precision: 'f32', fused });
    const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
    const { logits } = await session.run({ image: f32Tensor(io.floats('pixels'), [1, 3, 32, 32]) });
    await session.release();
    expectClose('logits', logits!, io.floats('logits'), block);
  });

  test('a picture is resized as Pillow does and normalised as its configuration says', () => {
    const picture = bitmapOf('picture');
    expect(resizeTriangle(picture, 32, 32)).toEqual(bitmapOf('resized'));
    const prepared = readPreparation(folder, 32)(picture);
    expect(difference(prepared, io.floats('pixels')).maxAbs).toBeLessThan(1e-6);
  });

  test('its classes have the probabilities of those logits, and nsfw counts from 0.85 on', async () => {
    const classifier = await drain(vit.load(tool(), 1));
    const [normal, nsfw] = io.floats('logits') as unknown as [number, number];
    const found = await classifier.classify(bitmapOf('picture'));
    expect(found.nsfw).toBeCloseTo(1 / (1 + Math.exp(normal - nsfw)), 5);
    expect(found.normal! + found.nsfw!).toBeCloseTo(1, 6);
    expect([classifier.unsafe, classifier.threshold]).toEqual([['nsfw'], 0.85]);
    await classifier.release();
  });

  test('the manifest may choose other classes and another threshold, among those there are', async () => {
    const { unsafe, threshold } = await drain(vit.load(tool({ unsafe: ['normal'], threshold: 0.2 }), 1));
    expect([unsafe, threshold]).toEqual([['normal'], 0.2]);
    const wrong = (settings: ToolSource['settings']) => drain(vit.load(tool(settings), 1));
    await expect(wrong({ unsafe: ['porn'] })).rejects.toThrow(/settings\.unsafe = \["porn"\].*normal, nsfw/);
    await expect(wrong({ threshold: 85 })).rejects.toThrow(/settings\.threshold = 85.*0 to 1/);
  });

  test('a picture size that its tensors do not have is an error with both', () => {
    expect(() => readPreparation(folder, 224)).toThrow(/resizes to \{"height":32,"width":32\}.*expected 224/);
  });
});
