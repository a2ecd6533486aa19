import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { LoraCache } from '../../src/engine/adapters/lora/cache.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import { prepare } from '../../src/engine/adapters/lora/prepare.ts';
import { readLora } from '../../src/engine/adapters/lora/read.ts';
import { activeAt, type LoraStage, stageAt } from '../../src/engine/adapters/lora/stages.ts';
import type { Components } from '../../src/engine/networks/components.ts';
import type { RetouchError } from '../../src/error.ts';
import { tinyComponents } from '../fixtures/tiny-flux.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-lora-files-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const components = tinyComponents();
const layers = layersOf(components);

let count = 0;
function write(tensors: Record<string, StoredTensor>, metadata?: Record<string, string>): string {
  const file = path.join(folder, `${count++}.safetensors`);
  writeSafetensors(file, tensors, metadata);
  return file;
}

const zeros = (...shape: number[]) => f32(Array(shape.reduce((a, b) => a * b, 1)).fill(0.5), shape);
/** The two halves of an update of a layer of 64 to 64. */
const pair = (layer: string, rank = 2) => ({
  [`${layer}.lora_A.weight`]: zeros(rank, 64),
  [`${layer}.lora_B.weight`]: zeros(64, rank),
});
const query = 'transformer.transformer_blocks.0.attn.to_q';

function refusal(tensors: Record<string, StoredTensor>): RetouchError {
  try {
    prepare(readLora(write(tensors), layers), 'the file');
  } catch (error) {
    return error as RetouchError;
  }
  throw new Error('the file was read');
}

describe('a file that cannot be used', () => {
  it('of no family is refused with the families there are', () => {
    const { code, message } = refusal({ 'model.layers.0.lora_A.weight': zeros(2, 64) });
    expect(code).toBe('loraUnknown');
    expect(message).toContain('has 1 tensors (model.layers.0.lora_A.weight, …)');
    for (const name of ['kohya', 'XLabs', 'PEFT/diffusers']) expect(message).toContain(name);
    expect(message).not.toContain('BFL control');
  });

  it('of two families is refused with both', () => {
    const kohya = 'lora_unet_double_blocks_0_img_attn_proj';
    const { code, message } = refusal({ ...pair(query), [`${kohya}.lora_down.weight`]: zeros(2, 64) });
    expect(code).toBe('loraUnknown');
    expect(message).toMatch(/several families of LoRAs, PEFT\/diffusers \(.+\) and kohya \(/);
  });

  it('with tensors of no layer is refused with their names and number, and none of it is used', () => {
    const strange = Array.from({ length: 7 }, (_, i) => `transformer.transformer_blocks.${i + 2}.attn.to_q`);
    const { code, message } = refusal({
      ...pair(query),
      ...Object.assign({}, ...strange.map((name) => pair(name))),
    });
    expect(code).toBe('loraUnmatched');
    expect(message).toContain('14 of its 16 tensors belong to no layer of this model');
    expect(message).toContain(`${strange[0]}.lora_A.weight`);
    expect(message).toMatch(/, …$/);
  });

  it.each(['diff', 'diff_b', 'lora_B.bias', 'lokr_t2'])('with a tensor of the kind %s is refused', (kind) => {
    const { code, message } = refusal({ ...pair(query), [`${query}.${kind}`]: zeros(64) });
    expect(code).toBe('loraUnmatched');
    expect(message).toContain(`${query}.${kind}`);
  });

  it('for a layer of other sizes is refused with both sizes', () => {
    const { code, message } = refusal({
      [`${query}.lora_A.weight`]: zeros(2, 3072),
      [`${query}.lora_B.weight`]: zeros(3072, 2),
    });
    expect(code).toBe('loraMisfit');
    expect(message).toContain(
      "as a layer [3072, 3072], and this model's is [64, 64]: it was made for another model",
    );
  });

  it('that lacks half of a pair, or whose halves do not multiply, is refused', () => {
    const half = refusal({ [`${query}.lora_A.weight`]: zeros(2, 64) });
    expect(half.code).toBe('loraInvalid');
    expect(half.message).toMatch(/to_q has .*lora_A\.weight and no up$/);
    const ranks = refusal({ ...pair(query), [`${query}.lora_B.weight`]: zeros(64, 3) });
    expect(ranks.code).toBe('loraInvalid');
    expect(ranks.message).toContain('do not multiply: [64, 3] and [2, 64]');
    const vector = refusal({ ...pair(query), [`${query}.lora_B.weight`]: zeros(64) });
    expect(vector.message).toContain('has shape [64], expected a matrix');
  });

  it('of a control picture is refused with the reason', () => {
    const { code, message } = refusal({
      ...pair('double_blocks.0.img_attn.proj'),
      'double_blocks.0.img_attn.norm.query_norm.scale': zeros(32),
      'img_in.lora_A.weight': zeros(2, 128),
    });
    expect(code).toBe('loraRefused');
    expect(message).toContain('it is a control LoRA (FLUX.1 Depth or Canny)');
  });

  it('with a magnitude for each input is refused with the reason', () => {
    const { code, message } = refusal({ ...pair(query), [`${query}.dora_scale`]: zeros(1, 64) });
    expect(code).toBe('loraRefused');
    expect(message).toContain('has shape [1,64], expected a magnitude for each of 64 outputs');
  });
});

describe('the scale of an update', () => {
  const scaleOf = (tensors: Record<string, StoredTensor>, metadata?: Record<string, string>) =>
    readLora(write(tensors, metadata), layers)[0]!.scale;
  const i64 = (value: number): StoredTensor => ({
    dtype: 'I64',
    shape: [],
    bytes: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
  });
  const metadata = (settings: object) => ({
    lora_adapter_metadata: JSON.stringify(
      Object.fromEntries(Object.entries(settings).map(([key, value]) => [`transformer.${key}`, value])),
    ),
  });

  it('is 1 without alpha, and alpha divided by the rank with it', () => {
    expect(scaleOf(pair(query, 4))).toBe(1);
    expect(scaleOf({ ...pair(query, 4), [`${query}.alpha`]: f32([1], []) })).toBe(0.25);
    expect(scaleOf({ ...pair(query, 4), [`${query}.alpha`]: i64(8) })).toBe(2);
  });

  it('comes from the metadata where there is no tensor, rank-stabilised where that says so', () => {
    expect(scaleOf(pair(query, 4), metadata({ lora_alpha: 8 }))).toBe(2);
    expect(scaleOf(pair(query, 4), metadata({ lora_alpha: 8, use_rslora: true }))).toBe(4);
    expect(scaleOf(pair(query, 4), metadata({ lora_alpha: 8, alpha_pattern: { 'attn.to_q': 2 } }))).toBe(0.5);
    const both = { ...pair(query, 4), [`${query}.alpha`]: f32([1], []) };
    expect(scaleOf(both, metadata({ lora_alpha: 8 }))).toBe(0.25);
    // The metadata of another component says nothing of the transformer.
    expect(scaleOf(pair(query, 4), { lora_adapter_metadata: '{"text_encoder.lora_alpha":8}' })).toBe(1);
  });
});

it.each([
  'transformer.transformer_blocks.0.attn.to_q.lora_A.default.weight',
  'transformer.transformer_blocks.0.attn.to_q.lora.down.weight',
  'transformer.transformer_blocks.0.attn.to_q.lora_down.weight',
])('%s is half of an update', (name) => {
  const other = name.replace('lora_A', 'lora_B').replace('down', 'up');
  const [update] = readLora(write({ [name]: zeros(2, 64), [other]: zeros(64, 2) }), layers);
  expect(update?.target.slot.name).toBe('double_blocks.0.img_attn.qkv');
});

describe('text encoders', () => {
  it.each([
    [
      'peft',
      pair(query),
      'text_encoder.text_model.encoder.layers.1.mlp.fc1',
      'text_encoder_2.encoder.block.2.layer.1.DenseReluDense.wo',
    ],
    [
      'kohya',
      pair('lora_unet_double_blocks_0_img_attn_proj'),
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te3_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
    [
      'OneTrainer',
      pair('lora_transformer_transformer_blocks_0_attn_to_q'),
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te2_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
    [
      'OneTrainer, as for SD3',
      pair('lora_transformer_transformer_blocks_0_attn_to_q'),
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te3_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
    [
      'ComfyUI',
      pair('diffusion_model.double_blocks.0.img_attn.proj'),
      'text_encoders.clip_l.transformer.text_model.encoder.layers.1.mlp.fc1',
      'text_encoders.t5xxl.transformer.encoder.block.2.layer.1.DenseReluDense.wo',
    ],
    [
      'text alone',
      {},
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te3_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
  ])("are updated by %s's names", (_, others, clip, t5) => {
    const file = write({
      ...others,
      [`${clip}.lora_down.weight`]: zeros(2, 48),
      [`${clip}.lora_up.weight`]: zeros(96, 2),
      [`${t5}.lora_down.weight`]: zeros(2, 96),
      [`${t5}.lora_up.weight`]: zeros(40, 2),
    });
    const prepared = prepare(readLora(file, layers), file);
    expect([...prepared.clip.keys()]).toEqual(['encoder.layers.1.mlp.fc1']);
    expect([...prepared.t5.keys()]).toEqual(['encoder.block.2.layer.1.DenseReluDense.wo']);
    expect(prepared.transformer.size).toBe(Object.keys(others).length / 2);
  });
});

describe('stages', () => {
  it('are high from 0.875 up and low below, and both is always', () => {
    expect([1, 0.9, 0.875, 0.8749, 0.1].map(stageAt)).toEqual(['high', 'high', 'high', 'low', 'low']);
    const loras = (['high', 'low', 'both'] as LoraStage[]).map((stage) => ({ stage }));
    const names = (sigma: number) => activeAt(loras, sigma).map(({ stage }) => stage);
    expect(names(0.875)).toEqual(['high', 'both']);
    expect(names(0.87)).toEqual(['low', 'both']);
  });
});

describe('the cache', () => {
  const one = write(pair(query));
  const two = write(pair(query, 3));
  // Of q alone, a third of the layer that q, k and v are.
  const bytes = (rank: number) => 4 * rank * (64 + 64);
  const request = (file: string, weight = 1) => ({ air: 'me:ink@1', file, weight, stage: 'both' as const });

  /** How many files were read. */
  async function open(cache: LoraCache, ...requests: ReturnType<typeof request>[]): Promise<number> {
    const opening = cache.open(requests, components as Components);
    let read = 0;
    for (;;) {
      const next = await opening.next();
      if (next.done) return read;
      read += 1;
    }
  }

  it('reads a file once, and again when it is another', async () => {
    const cache = new LoraCache(1e6, 1);
    const file = write(pair(query));
    expect(await open(cache, request(file))).toBe(1);
    expect(await open(cache, request(file, 0.5))).toBe(0);
    writeSafetensors(file, pair(query, 5));
    expect(await open(cache, request(file))).toBe(1);
  });

  it('reads nothing for a weight of 0', async () => {
    const cache = new LoraCache(1e6, 1);
    expect(await open(cache, request('/no/such/file.safetensors', 0))).toBe(0);
  });

  it('keeps what was used last within its limit', async () => {
    const cache = new LoraCache(bytes(2) + bytes(3), 1);
    expect(await open(cache, request(one), request(two))).toBe(2);
    expect(await open(cache)).toBe(0);
    expect(cache.bytes).toBe(bytes(2) + bytes(3));
    expect(await open(cache, request(one))).toBe(0);
    const third = write(pair(query, 2));
    expect(await open(cache, request(third))).toBe(1);
    expect(cache.bytes).toBe(2 * bytes(2));
    expect(await open(cache, request(one), request(third))).toBe(0);
    expect(await open(cache, request(two))).toBe(1);
  });

  it('uses a LoRA larger than the limit without keeping it', async () => {
    const cache = new LoraCache(10, 1);
    expect(await open(cache, request(one))).toBe(1);
    expect(cache.bytes).toBe(bytes(2));
    expect(await open(cache)).toBe(0);
    expect(cache.bytes).toBe(0);
    expect(await open(cache, request(one))).toBe(1);
  });

  it('counts what it read and what it made of that for the run, and forgets the rest when memory is short', async () => {
    const cache = new LoraCache(1e6, 1);
    await open(cache, request(one));
    // The file's own arrays are fed; at another weight it is another B, and two files are one product beside them.
    expect(cache.bytes).toBe(bytes(2));
    await open(cache, request(one, 0.5));
    expect(cache.bytes).toBe(bytes(2) + 4 * 2 * 64);
    await open(cache, request(one), request(two));
    expect(cache.bytes).toBe(2 * (bytes(2) + bytes(3)));
    await open(cache, request(two));
    expect(cache.bytes).toBe(bytes(2) + bytes(3));
    cache.trim();
    expect(cache.bytes).toBe(bytes(3));
    expect(await open(cache, request(two))).toBe(0);
    expect(await open(cache, request(one))).toBe(1);
  });

  it('names the LoRA whose file cannot be read', async () => {
    const cache = new LoraCache(1e6, 1);
    const broken = request(write({ 'strange.weight': zeros(1, 1) }));
    await expect(open(cache, broken)).rejects.toThrow(/^LoRA me:ink@1: /);
  });
});
