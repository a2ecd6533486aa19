/** Computing in bands gives the results of computing all rows at once: blocks to the bit, images within rounding. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import { decoderGraph, decoderInBandsGraph } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import { bandRows } from '../../src/engine/models/autoencoder-memory.ts';
import { symbol } from '../../src/engine/onnx/dim.ts';
import { Graph } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { type Feeds, f32Tensor, floats, tensor } from '../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { Compute } from '../../src/engine/weights/weights.ts';
import { cutUpdates, loraTensors, randomUpdates } from '../fixtures/lora-files.ts';
import { loadFlux, prepareFile, tinyComponents, tinyFile, velocityOf } from '../fixtures/tiny-flux.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-bands-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

async function velocity(compute: Partial<Compute>, updates?: Feeds): Promise<Float32Array> {
  const cache = path.join(folder, `${compute.precision ?? 'f32'}.safetensors`);
  const transformer = await loadFlux(tinyFile('flux_tiny.safetensors'), compute, cache);
  const found = await velocityOf(transformer, updates);
  await transformer.release();
  return found;
}

/** The tiny model has 5 tokens of text and 32 of the images: bands of 3 and 8 leave the last one partly empty. */
const bands = [1, 3, 8, 16, 64];

describe('the velocity in bands', () => {
  const variants: Partial<Compute>[] = [
    {},
    { fused: false },
    { precision: 'int8' },
    { precision: 'int8-blocks' },
    { precision: 'int4' },
    { places: ['attention', 'residual'] },
  ];
  it.each(variants)('is the same to the bit for %o', async (compute) => {
    const whole = await velocity(compute);
    for (const bandRows of bands) expect(await velocity({ ...compute, bandRows })).toEqual(whole);
  });

  it('is the same to the bit under a LoRA', async () => {
    const components = tinyComponents();
    const { checkpoint } = components.transformer.source;
    const updates = cutUpdates(randomUpdates(checkpoint, 2, 1, (layer) => layer.includes('_blocks.')));
    const file = path.join(folder, 'lora.safetensors');
    writeSafetensors(file, loraTensors(updates, { prefix: 'transformer.' }));
    const prepared = await prepareFile(file, layersOf(components), components);
    const feeds = new ActiveLoras([{ file, weight: 1, stage: 'both', prepared }]).transformer(0.5);
    const whole = await velocity({}, feeds);
    expect(whole).not.toEqual(await velocity({}));
    // A product of one row is another kernel's, which adds in another order.
    for (const bandRows of bands.slice(1)) expect(await velocity({ bandRows }, feeds)).toEqual(whole);
  });
});

it('bands are at most as high as asked for, of equal height, and in order', async () => {
  const graph = new Graph('rows');
  const x = graph.input('x', 'f32', [symbol('rows'), 2]);
  // The number of rows that the body sees, beside every value.
  const [marked] = op.byRows(4, [x], ([band]) => [
    op.concat([band!, op.mul(op.add(op.mul(band!, 0), 1), op.axisLength(band!, 0))], 1),
  ]);
  graph.output('out', marked!);
  const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
  const result = async (rows: number) => {
    const values = Float32Array.from({ length: rows * 2 }, (_, i) => i);
    const { out } = await session.run({ x: f32Tensor(values, [rows, 2]) });
    return floats(out!);
  };
  // 10 rows are three bands of 4, the last with two rows of padding.
  const ten = await result(10);
  expect(ten.length).toBe(40);
  for (let row = 0; row < 10; row++)
    expect([...ten.subarray(4 * row, 4 * row + 4)]).toEqual([2 * row, 2 * row + 1, 4, 4]);
  expect([...(await result(5))].filter((_, i) => i % 4 === 3)).toEqual([3, 3, 3, 3, 3]);
  expect([...(await result(1))]).toEqual([0, 1, 1, 1]);
  await session.release();
});

/**
 * ONNX Runtime computes convolutions of a loop's body as matrix products, and those of the whole graph in a blocked
 * layout: the sums differ in their order. One of 255 levels is 7.8e-3 of the range -1 … 1.
 */
const rounding = 1e-5;

describe.each(['ae_tiny', 'ae_shuffle_tiny', 'ae_patch_tiny'])('the image of %s decoded in bands', (name) => {
  const source = new WeightSource(openCheckpoint(tinyFile(`${name}.safetensors`)), autoencoderDialects);
  const config = autoencoderConfig(source);
  const [h, w] = [12, 6];
  const values = Float32Array.from(
    { length: config.latentChannels * h * w },
    (_, i) => 2 * Math.sin(i * 0.37),
  );
  const latent = f32Tensor(values, [1, config.latentChannels, h, w]);
  const compute = { precision: 'f32', fused: true } as const;
  const options = { device: 'cpu', threads: 1 } as const;

  it('differs from the whole one by rounding alone, whatever the height of the bands', async () => {
    const whole = await Session.compile(decoderGraph(source, config, compute), options);
    const { image } = await whole.run({ latent });
    await whole.release();
    const cut = await Session.compile(decoderInBandsGraph(source, config, compute), options);
    for (const rows of [1, 2, 3, 4, 12]) {
      const found = await cut.run({ latent, rows: tensor('i64', BigInt64Array.of(BigInt(rows)), [1]) });
      expect(found.image!.dims).toEqual(image!.dims);
      const expected = floats(image!);
      const difference = floats(found.image!).map((value, i) => Math.abs(value - expected[i]!));
      expect(Math.max(...difference)).toBeLessThan(rounding);
    }
    await cut.release();
  });
});

it('the height of a band divides the latent, so that no row is computed that is not in the image', () => {
  const flux = { stride: 8 } as Parameters<typeof bandRows>[0];
  const rows = (width: number, height: number) => bandRows(flux, { w: width / 8, h: height / 8 });
  expect(rows(1024, 1024)).toBe(2);
  expect(rows(512, 512)).toBe(4);
  expect(rows(1568, 672)).toBe(1);
  // 106 rows of the latent are 2·53.
  expect(rows(256, 848)).toBe(2);
  expect(rows(64, 64)).toBe(8);
});
