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
import { bytesRead } from '../fixtures/file-reads.ts';
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
    prepare(readLora(write(tensors), layers));
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

  it.each<[string, string]>([
    ['bundle_emb.word.clip_l', 'embeddings of new words that OneTrainer bundles'],
    [`${query}.oft_blocks`, 'OFT'],
    [`${query}.a1.weight`, 'GLoRA'],
    [`${query}.w_norm`, 'differences of whole weights'],
    [`${query}.modules_to_save.weight`, 'whole layers (modules_to_save)'],
    ['transformer.transformer_blocks.0.qkv_proj.lora_down.weight', "nunchaku's layers"],
  ])('with %s says what that is', (name, words) => {
    const { code, message } = refusal({ ...pair(query), [name]: zeros(1, 64) });
    expect(code).toBe('loraUnmatched');
    expect(message).toContain(name);
    expect(message).toContain(`Not used by this build: ${words}`);
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

  it.each<[string, () => Record<string, StoredTensor>, string]>([
    ['[64,2]', () => ({ ...pair(query), [`${query}.dora_scale`]: zeros(64, 2) }), 'has shape [64,2]'],
    ['[1,32]', () => ({ ...pair(query), [`${query}.dora_scale`]: zeros(1, 32) }), 'has shape [1,32]'],
    ['[32]', () => ({ ...pair(query), [`${query}.lora_magnitude_vector`]: zeros(32) }), 'has shape [32]'],
    ['[]', () => ({ ...pair(query), [`${query}.dora_scale`]: zeros() }), 'has shape []'],
    [
      'beside LoKr factors',
      () => ({
        [`${query}.lokr_w1`]: zeros(2, 2),
        [`${query}.lokr_w2`]: zeros(32, 32),
        [`${query}.dora_scale`]: zeros(64, 1),
      }),
      'has LoKr factors and magnitudes (DoRA,',
    ],
  ])(
    'with magnitudes that are neither of outputs nor of inputs is refused by its header: %s',
    async (_, make, words) => {
      const file = write(make());
      let failure: RetouchError | undefined;
      const read = await bytesRead(() => {
        try {
          readLora(file, layers);
        } catch (error) {
          failure = error as RetouchError;
        }
      });
      expect(failure).toMatchObject({ code: 'loraRefused' });
      expect(failure!.message).toContain(words);
      expect([...read.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(1000);
    },
  );
});

describe('a file with a number that is not finite', () => {
  const bad = (values: number[], shape: number[]) => f32(values, shape);

  it.each<[string, () => Record<string, StoredTensor>, string]>([
    [
      'NaN in A',
      () => ({
        ...pair(query),
        [`${query}.lora_A.weight`]: bad([...Array(127).fill(0), Number.NaN], [2, 64]),
      }),
      'element 127 of transformer.transformer_blocks.0.attn.to_q.lora_A.weight is NaN',
    ],
    [
      'Inf in B',
      () => ({
        ...pair(query),
        [`${query}.lora_B.weight`]: bad([Number.POSITIVE_INFINITY, ...Array(127).fill(0)], [64, 2]),
      }),
      'lora_B.weight is Infinity',
    ],
    ['NaN in alpha', () => ({ ...pair(query), [`${query}.alpha`]: bad([Number.NaN], []) }), 'alpha is NaN'],
    [
      'NaN in magnitudes',
      () => ({ ...pair(query), [`${query}.dora_scale`]: bad(Array(64).fill(Number.NaN), [64, 1]) }),
      'dora_scale is NaN',
    ],
    [
      'Inf in a LoHa',
      () => ({ ...loha(2), [`${query}.hada_w2_a`]: bad([-Infinity, ...Array(127).fill(0)], [64, 2]) }),
      'hada_w2_a is -Infinity',
    ],
    [
      'NaN in a LoKr',
      () => ({
        [`${query}.lokr_w1`]: bad([Number.NaN, 1, 1, 1], [2, 2]),
        [`${query}.lokr_w2`]: zeros(32, 32),
      }),
      'lokr_w1 is NaN',
    ],
  ])('names the file and the tensor: %s', (_, tensors, words) => {
    const { code, message } = refusal(tensors());
    expect(code).toBe('loraInvalid');
    expect(message).toContain(words);
    expect(message).toContain(folder);
  });
});

const loha = (rank: number) => ({
  [`${query}.hada_w1_a`]: zeros(64, rank),
  [`${query}.hada_w1_b`]: zeros(rank, 64),
  [`${query}.hada_w2_a`]: zeros(64, rank),
  [`${query}.hada_w2_b`]: zeros(rank, 64),
});

describe('a LoHa', () => {
  it('that does not fit is refused by its header, before any of it is read', async () => {
    const file = write(loha(16));
    const expanded = 2 * 4 * 16 * 16 * (64 + 64);
    let failure: RetouchError | undefined;
    const read = await bytesRead(() => {
      try {
        readLora(file, layers, expanded - 1);
      } catch (error) {
        failure = error as RetouchError;
      }
    });
    expect(failure).toMatchObject({ code: 'notEnoughMemory', details: { needed: expanded } });
    expect(failure!.message).toMatch(/reading it takes 256\.0 KiB, and 256\.0 KiB are left/);
    // The header alone: its table and the eight bytes of its length.
    expect([...read.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(2000);
    expect(readLora(file, layers, expanded)).toHaveLength(1);
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
    // The keys are regular expressions of the end of a layer's name, from a dot on; the first that fits counts.
    const pattern = (alpha_pattern: object) =>
      scaleOf(pair(query, 4), metadata({ lora_alpha: 8, alpha_pattern }));
    expect(pattern({ 'transformer_blocks\\.\\d+\\.attn\\.to_[qkv]': 2 })).toBe(0.5);
    expect(pattern({ '^transformer_blocks\\.0\\..*': 2 })).toBe(0.5);
    expect(pattern({ '.*to_k': 1, 'to_k|to_q': 2, to_q: 4 })).toBe(0.5);
    expect(pattern({ o_q: 2, 'attn.to': 2, '^attn.to_q': 2 })).toBe(2);
    expect(() => pattern({ 'to_(q': 2 })).toThrow(/"to_\(q" of its alpha_pattern/);
    // The metadata of another component does not apply to the transformer.
    expect(scaleOf(pair(query, 4), { lora_adapter_metadata: '{"text_encoder.lora_alpha":8}' })).toBe(1);
  });
});

describe('alpha beside the tensors', () => {
  const alone = (metadata: Record<string, string>, tensors = pair(query)) =>
    readLora(write(tensors, metadata), layers)[0]!.scale;

  it.each([
    { lora_alpha: '1', r: '2' },
    { 'transformer.lora_alpha': '1' },
    { network_alpha: '1.0' },
    { alpha: '1' },
    { ss_network_alpha: '1', ss_network_dim: '2' },
  ])('stands in plain keys of the header: %j', (metadata) => {
    expect(alone(metadata as Record<string, string>)).toBe(0.5);
    expect(
      alone(metadata as Record<string, string>, { ...pair(query), [`${query}.alpha`]: f32([8], []) }),
    ).toBe(4);
  });

  it('that is no number, or of another network, says nothing', () => {
    expect(alone({ ss_network_alpha: 'None' })).toBe(1);
    expect(alone({ 'text_encoder.lora_alpha': '1' })).toBe(1);
  });

  it("in PEFT's adapter_config.json is that of adapter_model alone, not of other files in the folder", () => {
    const own = path.join(folder, 'peft');
    fs.mkdirSync(own);
    fs.writeFileSync(path.join(own, 'adapter_config.json'), '{"lora_alpha":32,"r":4}');
    const named = (name: string) => {
      writeSafetensors(path.join(own, name), pair(query, 4));
      return readLora(path.join(own, name), layers)[0]!.scale;
    };
    expect(named('adapter_model.safetensors')).toBe(8);
    expect(readLora(own, layers)[0]!.scale).toBe(8);
    // Like a download cache: a link to a file that is named by its hash.
    const linked = path.join(folder, 'linked');
    fs.mkdirSync(linked);
    fs.renameSync(path.join(own, 'adapter_model.safetensors'), path.join(folder, '0123abcd'));
    fs.symlinkSync(path.join(folder, '0123abcd'), path.join(linked, 'adapter_model.safetensors'));
    fs.copyFileSync(path.join(own, 'adapter_config.json'), path.join(linked, 'adapter_config.json'));
    expect(readLora(linked, layers)[0]!.scale).toBe(8);
    expect(readLora(path.join(linked, 'adapter_model.safetensors'), layers)[0]!.scale).toBe(8);
    expect(named('ink.safetensors')).toBe(1);
    // A folder is read as its file with the shortest name, which the configuration does not describe.
    expect(readLora(own, layers)[0]!.scale).toBe(1);
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
      'kohya, before FLUX',
      pair('lora_unet_double_blocks_0_img_attn_proj'),
      'lora_te_text_model_encoder_layers_1_mlp_fc1',
      'lora_te3_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
    [
      "kohya's beside ComfyUI",
      pair('diffusion_model.double_blocks.0.img_attn.proj'),
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te3_encoder_block_2_layer_1_DenseReluDense_wo',
    ],
    [
      "diffusers' beside ComfyUI",
      pair('diffusion_model.double_blocks.0.img_attn.proj'),
      'text_encoder.text_model.encoder.layers.1.mlp.fc1',
      'text_encoder_2.encoder.block.2.layer.1.DenseReluDense.wo',
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
    const prepared = prepare(readLora(file, layers));
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
  // Updates only q, a third of the fused layer of q, k and v.
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
    const cache = new LoraCache({ limit: 1e6, threads: 1 });
    const file = write(pair(query));
    expect(await open(cache, request(file))).toBe(1);
    expect(await open(cache, request(file, 0.5))).toBe(0);
    writeSafetensors(file, pair(query, 5));
    expect(await open(cache, request(file))).toBe(1);
  });

  it('reads nothing for a weight of 0', async () => {
    const cache = new LoraCache({ limit: 1e6, threads: 1 });
    expect(await open(cache, request('/no/such/file.safetensors', 0))).toBe(0);
  });

  it('keeps what was used last within its limit', async () => {
    const cache = new LoraCache({ limit: bytes(2) + bytes(3), threads: 1 });
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
    const cache = new LoraCache({ limit: 10, threads: 1 });
    expect(await open(cache, request(one))).toBe(1);
    expect(cache.bytes).toBe(bytes(2));
    expect(await open(cache)).toBe(0);
    expect(cache.bytes).toBe(0);
    expect(await open(cache, request(one))).toBe(1);
  });

  it('counts what it read and what it made of that for the run, and forgets the rest when memory is short', async () => {
    const cache = new LoraCache({ limit: 1e6, threads: 1 });
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
    const cache = new LoraCache({ limit: 1e6, threads: 1 });
    const broken = request(write({ 'strange.weight': zeros(1, 1) }));
    await expect(open(cache, broken)).rejects.toThrow(/^LoRA me:ink@1: /);
  });
});
