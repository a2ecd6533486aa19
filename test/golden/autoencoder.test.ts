import { describe, expect, test } from 'vitest';
import { scaleLatent, unscaleLatent } from '../../src/engine/latents/packing.ts';
import { decoderGraph, encoderGraph, type Probe } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import { decoderBytes } from '../../src/engine/models/autoencoder-memory.ts';
import type { Graph } from '../../src/engine/onnx/graph.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor } from '../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { expectClose, goldenFile, openGolden } from './data.ts';
import { block } from './tolerance.ts';

const device = { device: 'cpu', threads: 1 } as const;
const outputs =
  (side: string) =>
  (graph: Graph): Probe =>
  (name, value) =>
    graph.output(`act.${side}.${name}`, value);

for (const [layout, file] of [
  ['BFL', 'ae_tiny.safetensors'],
  ['diffusers', 'ae_tiny.diffusers.safetensors'],
] as const) {
  describe.each([true, false])(`AutoencoderKL in ${layout}'s layout, fused attention %s`, (fused) => {
    const source = new WeightSource(openCheckpoint(goldenFile(file)), autoencoderDialects);
    const config = autoencoderConfig(source);
    const golden = openGolden('ae_tiny_io.safetensors');
    const compute = { precision: 'f32', fused } as const;

    test('the sizes are read from the tensors', () => {
      expect(config).toEqual({
        channels: [32, 64],
        decoderChannels: [32, 64],
        encoderBlocks: 1,
        decoderBlocks: 2,
        imageChannels: 3,
        latentChannels: 16,
        groups: 32,
        patch: 1,
        decoderPatch: 1,
        upsample: 'nearest',
        stride: 2,
        scale: 0.3611,
        shift: 0.1159,
      });
    });

    test('every activation of the encoder and the latent are the reference', async () => {
      const session = await Session.compile(encoderGraph(source, config, compute, outputs('enc')), device);
      const results = await session.run({ image: f32Tensor(golden.floats('image'), golden.shape('image')) });
      for (const name of golden.names.filter((tensor) => tensor.startsWith('act.enc.')))
        expectClose(name, results[name]!, golden.floats(name), block);
      expectClose('moments', results.moments!, golden.floats('moments'), block);
      const shape = golden.shape('latent');
      const moments = results.moments!.data as Float32Array;
      const latent = scaleLatent(moments.slice(0, moments.length / 2), config);
      expectClose('latent', f32Tensor(latent, shape), golden.floats('latent'), block);
      await session.release();
    });

    test('every activation of the decoder and the image are the reference', async () => {
      const session = await Session.compile(decoderGraph(source, config, compute, outputs('dec')), device);
      const latent = unscaleLatent(golden.floats('latent'), config);
      const results = await session.run({ latent: f32Tensor(latent, golden.shape('latent')) });
      for (const name of golden.names.filter((tensor) => tensor.startsWith('act.dec.')))
        expectClose(name, results[name]!, golden.floats(name), block);
      expectClose('image', results.image!, golden.floats('decoded'), block);
      await session.release();
    });
  });
}

describe.each([
  [
    'a patch',
    'ae_patch_tiny',
    {
      patch: 8,
      channels: [16, 32],
      decoderPatch: 8,
      decoderChannels: [16, 32],
      stride: 16,
      upsample: 'nearest',
    },
  ],
  [
    'levels that grow by pixel_shuffle',
    'ae_shuffle_tiny',
    { patch: 8, channels: [32], decoderPatch: 2, decoderChannels: [16, 32], stride: 8, upsample: 4 },
  ],
])('AutoencoderKL with %s, as small models have it: bf16, no attention, 16 groups', (_, file, sizes) => {
  const source = new WeightSource(openCheckpoint(goldenFile(`${file}.safetensors`)), autoencoderDialects);
  const config = autoencoderConfig(source);
  const golden = openGolden(`${file}_io.safetensors`);
  const compute = { precision: 'f32', fused: true } as const;

  test('the stride counts the patch', () => {
    expect(config).toMatchObject({
      ...sizes,
      groups: 16,
      imageChannels: 3,
      scale: 0.9,
      shift: 0.1,
    });
  });

  test('the latent of a picture that is wider than high is the reference', async () => {
    const session = await Session.compile(encoderGraph(source, config, compute), device);
    const { moments } = await session.run({
      image: f32Tensor(golden.floats('image'), golden.shape('image')),
    });
    expectClose('moments', moments!, golden.floats('moments'), block);
    const data = moments!.data as Float32Array;
    const latent = scaleLatent(data.slice(0, data.length / 2), config);
    expectClose('latent', f32Tensor(latent, golden.shape('latent')), golden.floats('latent'), block);
    await session.release();
  });

  test('the picture of a latent that is higher than wide is the reference', async () => {
    const session = await Session.compile(decoderGraph(source, config, compute), device);
    const latent = f32Tensor(golden.floats('decoder_latent'), golden.shape('decoder_latent'));
    const { image } = await session.run({ latent });
    expect(image!.dims).toEqual(golden.shape('decoded'));
    expectClose('decoded', image!, golden.floats('decoded'), block);
    await session.release();
  });
});

test('a decoder whose levels do not undo what the encoder did is refused with both numbers', () => {
  const checkpoint = openCheckpoint(goldenFile('ae_shuffle_tiny.safetensors'));
  const settings = { ...JSON.parse(checkpoint.metadata.ae_config!), upsample_factor: 3 };
  const metadata = { ae_config: JSON.stringify(settings) };
  const source = new WeightSource(Object.assign(checkpoint, { metadata }), autoencoderDialects);
  expect(() => autoencoderConfig(source)).toThrow(
    "the decoder's 2 levels enlarge 3 times, the encoder's make 8 times smaller",
  );
});

test.each([
  [1024, 1024, 4223],
  [768, 512, 1892],
  [512, 512, 1028],
  [256, 256, 259],
])(
  "the memory estimate for FLUX's decoder at %i×%i is what was measured, %i MiB, or a little more",
  (width, height, measured) => {
    const tiny = new WeightSource(openCheckpoint(goldenFile('ae_tiny.safetensors')), autoencoderDialects);
    const flux = { ...autoencoderConfig(tiny), decoderChannels: [128, 256, 512, 512], stride: 8 };
    const estimate = decoderBytes(flux, { width, height }) / 2 ** 20;
    expect(estimate).toBeGreaterThanOrEqual(measured);
    expect(estimate).toBeLessThan(1.3 * measured);
  },
);
