import { describe, expect, test } from 'vitest';
import { clipConfig, clipFeeds, clipGraph } from '../../src/engine/models/clip.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { expectClose, goldenFile, openGolden, renamed } from './data.ts';
import { block } from './tolerance.ts';

const checkpoint = openCheckpoint(goldenFile('clip_tiny.safetensors'));
const golden = openGolden('clip_tiny_io.safetensors');
const ids = golden.integers('input_ids');

async function run(source: WeightSource, fused: boolean) {
  const config = clipConfig(source);
  const session = await Session.compile(clipGraph(source, config, { precision: 'f32', fused }), {
    device: 'cpu',
    threads: 1,
  });
  const results = await session.run(clipFeeds(source, config, ids));
  await session.release();
  return results;
}

describe('CLIP', () => {
  test('the sizes are read from the tensors, the rest from the configuration', () => {
    expect(clipConfig(new WeightSource(checkpoint, clipDialects))).toEqual({
      hidden: 48,
      heads: 4,
      mlp: 96,
      layers: 3,
      positions: 77,
      activation: 'quick_gelu',
      epsilon: 1e-5,
      endId: 511,
    });
  });

  test.each([true, false])(
    'hidden states and pooled vector are the reference, fused attention %s',
    async (fused) => {
      const results = await run(new WeightSource(checkpoint, clipDialects), fused);
      expectClose('last_hidden_state', results.last_hidden_state!, golden.floats('last_hidden_state'), block);
      expectClose('pooler_output', results.pooled!, golden.floats('pooler_output'), block);
    },
  );

  test.each(['', 'text_encoders.clip_l.transformer.text_model.'])(
    'names under the prefix "%s" are the same',
    async (prefix) => {
      const other = renamed(checkpoint, (name) => name.replace('text_model.', prefix));
      const results = await run(new WeightSource(other, clipDialects), true);
      expectClose('pooler_output', results.pooled!, golden.floats('pooler_output'), block);
    },
  );

  test('an end id of 2, as old configurations have, means the first highest id', () => {
    const source = new WeightSource(checkpoint, clipDialects);
    const config = clipConfig(source);
    const { end } = clipFeeds(source, { ...config, endId: 2 }, ids);
    expect(end!.data).toEqual(clipFeeds(source, config, ids).end!.data);
    expect(clipFeeds(source, { ...config, endId: 2 }, [1, 9, 4, 9]).end!.data).toEqual(BigInt64Array.of(1n));
  });

  test('the end id is the last of the vocabulary unless the configuration says otherwise', () => {
    const bare = new Checkpoint('bare', checkpoint.tensors, {}, { num_attention_heads: 4 });
    expect(clipConfig(new WeightSource(bare, clipDialects))).toMatchObject({ heads: 4, endId: 511 });
  });

  test('heads that do not divide the channels are an error with both numbers', () => {
    const bare = new Checkpoint('bare', checkpoint.tensors);
    expect(() => clipConfig(new WeightSource(bare, clipDialects))).toThrow(/bare: 48 channels.*0\.75 heads/);
  });

  test('an activation that is not known is an error that lists those that are', () => {
    const odd = new Checkpoint('odd', checkpoint.tensors, {}, { num_attention_heads: 4, hidden_act: 'mish' });
    expect(() => clipConfig(new WeightSource(odd, clipDialects))).toThrow(/"mish".*quick_gelu, relu/);
  });
});
