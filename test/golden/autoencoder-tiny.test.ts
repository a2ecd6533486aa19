import { describe, expect, test } from 'vitest';
import type { Probe } from '../../src/engine/models/autoencoder.ts';
import {
  type AutoencoderTinyConfig,
  autoencoderTinyConfig,
  decoderTinyGraph,
  encoderTinyGraph,
} from '../../src/engine/models/autoencoder-tiny.ts';
import type { Graph } from '../../src/engine/onnx/graph.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor } from '../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderTinyDialects } from '../../src/engine/weights/dialects/autoencoder-tiny.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { expectClose, goldenFile, openGolden, renamed } from './data.ts';
import { block } from './tolerance.ts';

const golden = openGolden('taesd_tiny_io.safetensors');
const open = (name: string) => openCheckpoint(goldenFile(name));
const sourceOf = (checkpoint: ReturnType<typeof open>) =>
  new WeightSource(checkpoint, autoencoderTinyDialects);
const diffusers = sourceOf(open('taesd_tiny.safetensors'));

const encoders: [string, WeightSource][] = [
  ["diffusers' names", diffusers],
  ["taesd's names", sourceOf(open('taesd_tiny_encoder.safetensors'))],
];
const decoders: [string, WeightSource][] = [
  ["diffusers' names", diffusers],
  ["taesd's names", sourceOf(open('taesd_tiny_decoder.safetensors'))],
  [
    "taesd's names under ComfyUI's prefix",
    sourceOf(renamed(open('taesd_tiny_decoder.safetensors'), (name) => `taesd_decoder.${name}`)),
  ],
];

async function run(
  build: typeof encoderTinyGraph,
  source: WeightSource,
  side: 'enc' | 'dec',
  feed: Record<string, string>,
) {
  const config: AutoencoderTinyConfig = autoencoderTinyConfig(source);
  const probe =
    (graph: Graph): Probe =>
    (name, value) =>
      graph.output(`act.${side}.${name}`, value);
  const graph = build(source, config, { precision: 'f32', fused: true }, probe);
  const session = await Session.compile(graph, { device: 'cpu', threads: 1 });
  const feeds = Object.entries(feed).map(([input, name]) => [
    input,
    f32Tensor(golden.floats(name), golden.shape(name)),
  ]);
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  for (const name of golden.names.filter((tensor) => tensor.startsWith(`act.${side}.`)))
    expectClose(name, results[name]!, golden.floats(name), block);
  return results;
}

describe('AutoencoderTiny', () => {
  test('the sizes are read from the tensors', () => {
    const stages = (...blocks: number[]) => blocks.map((count) => ({ channels: 12, blocks: count }));
    expect(autoencoderTinyConfig(diffusers)).toEqual({
      encoder: stages(1, 2, 1),
      decoder: stages(2, 1, 1),
      latentChannels: 5,
      upsampling: 2,
      activation: 'relu',
      stride: 4,
      scale: 1,
      shift: 0,
    });
    for (const [, source] of [...encoders, ...decoders])
      expect(autoencoderTinyConfig(source)).toMatchObject({ latentChannels: 5, stride: 4 });
  });

  test.each(encoders)('every activation of the encoder is the reference, %s', async (_, source) => {
    const { latent } = await run(encoderTinyGraph, source, 'enc', { image: 'image' });
    expectClose('latent', latent!, golden.floats('latent'), block);
  });

  test.each(decoders)('every activation of the decoder is the reference, %s', async (_, source) => {
    const { image } = await run(decoderTinyGraph, source, 'dec', { latent: 'decoder_latent' });
    expectClose('image', image!, golden.floats('decoded'), block);
  });

  test('a file with the decoder alone says which tensor an encoder would need', () => {
    const source = decoders[1]![1];
    const build = () =>
      encoderTinyGraph(source, autoencoderTinyConfig(source), { precision: 'f32', fused: true });
    expect(build).toThrow(/taesd decoder layout.*no tensor encoder\.layers\.0\.weight/);
  });
});
