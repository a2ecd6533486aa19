/** Tensors of CLIP-L's text model and of T5 v1.1 XXL's encoder as their published files have them. */

import type { StoredType } from '../../src/engine/weights/stored.ts';
import { constant, type Tensor, tensor, weightStd } from './tensor.ts';
import { fp8Scale } from './transformer.ts';

/** Layers of T5. */
export const realLayers = 24;

const [hidden, mlp, heads, buckets, vocabulary] = [4096, 10240, 64, 32, 32128];
/** T5 does not divide its scores by √d, so that its trained queries are small. */
const queryStd = weightStd / 8;

const block = {
  'layer.0.SelfAttention.q': [hidden, hidden],
  'layer.0.SelfAttention.k': [hidden, hidden],
  'layer.0.SelfAttention.v': [hidden, hidden],
  'layer.0.SelfAttention.o': [hidden, hidden],
  'layer.1.DenseReluDense.wi_0': [mlp, hidden],
  'layer.1.DenseReluDense.wi_1': [mlp, hidden],
  'layer.1.DenseReluDense.wo': [hidden, mlp],
} as const;

/** @param tied whether the table is stored once: files for ComfyUI have it under both of its names */
export function t5Tensors(layers: number, dtype: StoredType, tied: boolean): Tensor[] {
  const table = (name: string) => tensor(name, dtype, [vocabulary, hidden]);
  return [
    table('shared.weight'),
    ...(tied ? [] : [table('encoder.embed_tokens.weight')]),
    tensor('encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight', dtype, [buckets, heads]),
    ...Array.from({ length: layers }, (_, i) => [
      ...Object.entries(block).map(([layer, shape]) =>
        tensor(
          `encoder.block.${i}.${layer}.weight`,
          dtype,
          [...shape],
          layer.endsWith('.q') ? queryStd : weightStd,
        ),
      ),
      ...[0, 1].map((j) => tensor(`encoder.block.${i}.layer.${j}.layer_norm.weight`, dtype, [hidden])),
    ]).flat(),
    tensor('encoder.final_layer_norm.weight', dtype, [hidden]),
  ];
}

/** comfyanonymous/flux_text_encoders, t5xxl_fp8_e4m3fn_scaled: matrices of the layers in eight bits with a scale. */
export function t5Fp8(layers: number): Tensor[] {
  const tensors = t5Tensors(layers, 'F16', false).flatMap((each) => {
    const layer = each.name.match(/^(encoder\.block\.\d+\.(.+))\.weight$/);
    if (!layer || !Object.hasOwn(block, layer[2]!)) return [each];
    const scale = (fp8Scale * each.std) / weightStd;
    return [
      { ...each, dtype: 'F8_E4M3' as const, std: each.std / scale },
      constant(`${layer[1]}.scale_weight`, scale),
    ];
  });
  return [...tensors, { name: 'scaled_fp8', dtype: 'F8_E4M3', shape: [0], mean: 0, std: 0 }];
}

const llama: Readonly<Record<string, string>> = {
  'layer.0.SelfAttention.q': 'attn_q',
  'layer.0.SelfAttention.k': 'attn_k',
  'layer.0.SelfAttention.v': 'attn_v',
  'layer.0.SelfAttention.o': 'attn_o',
  'layer.0.SelfAttention.relative_attention_bias': 'attn_rel_b',
  'layer.0.layer_norm': 'attn_norm',
  'layer.1.DenseReluDense.wi_0': 'ffn_gate',
  'layer.1.DenseReluDense.wi_1': 'ffn_up',
  'layer.1.DenseReluDense.wo': 'ffn_down',
  'layer.1.layer_norm': 'ffn_norm',
};

/** city96/t5-v1_1-xxl-encoder-gguf, Q5_K_M: llama.cpp's mixture for that name. */
export function t5Gguf(layers: number): Tensor[] {
  return t5Tensors(layers, 'F16', true).map((each): Tensor => {
    if (each.name === 'shared.weight') return { ...each, name: 'token_embd.weight', dtype: 'Q6_K' };
    if (each.name === 'encoder.final_layer_norm.weight')
      return { ...each, name: 'enc.output_norm.weight', dtype: 'F32' };
    const [, index, layer] = each.name.match(/^encoder\.block\.(\d+)\.(.+)\.weight$/)!;
    const name = `enc.blk.${index}.${llama[layer!]}.weight`;
    if (each.shape.length === 1) return { ...each, name, dtype: 'F32' };
    if (name.includes('attn_rel_b')) return { ...each, name };
    const six = /attn_v|ffn_down/.test(name) && getsMoreBits(Number(index), layers);
    return { ...each, name, dtype: six ? 'Q6_K' : 'Q5_K' };
  });
}

/** llama.cpp llama-quant.cpp `use_more_bits`: the first and last eighth of the layers, and every third between. */
function getsMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

/** comfyanonymous/flux_text_encoders, clip_l, in F16; diffusers' text_encoder has the same tensors in BF16. */
export function clipTensors(dtype: StoredType): Tensor[] {
  const [width, inner, tokens, positions] = [768, 3072, 49408, 77];
  const linear = (name: string, outputs: number, inputs: number) => [
    tensor(`${name}.weight`, dtype, [outputs, inputs]),
    tensor(`${name}.bias`, dtype, [outputs]),
  ];
  const norm = (name: string) => ['weight', 'bias'].map((leaf) => tensor(`${name}.${leaf}`, dtype, [width]));
  return [
    tensor('text_model.embeddings.token_embedding.weight', dtype, [tokens, width]),
    tensor('text_model.embeddings.position_embedding.weight', dtype, [positions, width]),
    ...Array.from({ length: 12 }, (_, i) => {
      const layer = `text_model.encoder.layers.${i}`;
      return [
        ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((each) =>
          linear(`${layer}.self_attn.${each}`, width, width),
        ),
        ...linear(`${layer}.mlp.fc1`, inner, width),
        ...linear(`${layer}.mlp.fc2`, width, inner),
        ...norm(`${layer}.layer_norm1`),
        ...norm(`${layer}.layer_norm2`),
      ];
    }).flat(),
    ...norm('text_model.final_layer_norm'),
  ];
}
