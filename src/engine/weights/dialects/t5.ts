/** T5 encoder checkpoints: transformers' names (ours), alone or in an all-in-one file, and llama.cpp's. */
import type { Dialect } from './index.ts';

const table = 'shared.weight';
/** The same table's other name: files hold one of the two, or both. */
const tiedTable = 'encoder.embed_tokens.weight';

function transformers(name: string, prefix: string): Dialect {
  const probe = `${prefix}encoder.block.0.layer.0.SelfAttention.q.weight`;
  return {
    name,
    probe,
    prefix,
    matches: (names) => names.has(probe),
    locate(tensor, names) {
      const stored = tensor === table && !names.has(prefix + table) ? tiedTable : tensor;
      return [{ name: prefix + stored }];
    },
  };
}

const whole: Record<string, string> = {
  [table]: 'token_embd.weight',
  'encoder.final_layer_norm.weight': 'enc.output_norm.weight',
};

const inBlock: Record<string, string> = {
  'layer.0.SelfAttention.q': 'attn_q',
  'layer.0.SelfAttention.k': 'attn_k',
  'layer.0.SelfAttention.v': 'attn_v',
  'layer.0.SelfAttention.o': 'attn_o',
  'layer.0.SelfAttention.relative_attention_bias': 'attn_rel_b',
  'layer.0.layer_norm': 'attn_norm',
  'layer.1.DenseReluDense.wi_0': 'ffn_gate',
  'layer.1.DenseReluDense.wi_1': 'ffn_up',
  'layer.1.DenseReluDense.wi': 'ffn_up',
  'layer.1.DenseReluDense.wo': 'ffn_down',
  'layer.1.layer_norm': 'ffn_norm',
};

/** llama.cpp gguf-py/gguf/tensor_mapping.py, MODEL_TENSOR.ENC_*. */
const llama: Dialect = {
  name: 'llama.cpp',
  probe: 'enc.blk.0.attn_q.weight',
  matches: (names) => names.has('enc.blk.0.attn_q.weight'),
  locate(tensor) {
    const block = tensor.match(/^encoder\.block\.(\d+)\.(.+)\.weight$/);
    const leaf = block && inBlock[block[2]!];
    return [{ name: whole[tensor] ?? (leaf ? `enc.blk.${block[1]}.${leaf}.weight` : tensor) }];
  },
};

export const t5Dialects: readonly Dialect[] = [
  transformers('transformers', ''),
  transformers('all in one', 'text_encoders.t5xxl.transformer.'),
  llama,
];
