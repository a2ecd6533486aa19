import { describe, expect, test } from 'vitest';
import { relativeBuckets, t5Config, t5Feeds, t5Graph } from '../../src/engine/models/t5.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { expectClose, goldenFile, openGolden, renamed } from './data.ts';
import { block } from './tolerance.ts';

const checkpoint = openCheckpoint(goldenFile('t5_tiny.safetensors'));
const golden = openGolden('t5_tiny_io.safetensors');

async function run(source: WeightSource, fused: boolean) {
  const config = t5Config(source);
  const session = await Session.compile(t5Graph(source, config, { precision: 'f32', fused }), {
    device: 'cpu',
    threads: 1,
  });
  const results = await session.run(t5Feeds(source, config, golden.integers('input_ids')));
  await session.release();
  return results.last_hidden_state!;
}

describe('T5', () => {
  test('the sizes are read from the tensors, the rest from the configuration', () => {
    expect(t5Config(new WeightSource(checkpoint, t5Dialects))).toEqual({
      hidden: 40,
      heads: 4,
      headDim: 16,
      mlp: 96,
      layers: 3,
      gated: true,
      activation: 'gelu_pytorch_tanh',
      epsilon: 1e-6,
      buckets: 32,
      maxDistance: 128,
    });
  });

  test('the relative position buckets of 512 tokens are the reference', () => {
    const buckets = relativeBuckets(512, t5Config(new WeightSource(checkpoint, t5Dialects)));
    expect(Array.from(buckets.slice(0, 512), Number)).toEqual(golden.integers('buckets512_row0'));
    expect(Array.from(buckets.slice(511 * 512), Number)).toEqual(golden.integers('buckets512_row511'));
  });

  test.each([true, false])('hidden states are the reference, fused attention %s', async (fused) => {
    const found = await run(new WeightSource(checkpoint, t5Dialects), fused);
    expectClose('last_hidden_state', found, golden.floats('last_hidden_state'), block);
  });

  test.each([
    ['the table under its other name', (name: string) => name.replace('shared.', 'encoder.embed_tokens.')],
    ['an all-in-one file', (name: string) => `text_encoders.t5xxl.transformer.${name}`],
  ])('%s gives the same', async (_, rename) => {
    const found = await run(new WeightSource(renamed(checkpoint, rename), t5Dialects), true);
    expectClose('last_hidden_state', found, golden.floats('last_hidden_state'), block);
  });

  test.each([
    [{ feed_forward_proj: 'gated-gelu' }, 'gelu_new'],
    [{ feed_forward_proj: 'gated-silu' }, 'silu'],
    [{ feed_forward_proj: 'relu' }, 'relu'],
    [{ dense_act_fn: 'gelu_new', feed_forward_proj: 'gated-gelu' }, 'gelu_new'],
    [{}, 'gelu_new'],
  ])('the configuration %j activates with %s', (config, activation) => {
    const configured = new Checkpoint('t5', checkpoint.tensors, {}, config);
    expect(t5Config(new WeightSource(configured, t5Dialects)).activation).toBe(activation);
  });
});
