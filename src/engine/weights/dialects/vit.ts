/** Checkpoints of image classifiers: transformers' names in files, which are older than those in its code. */
import type { Dialect } from './index.ts';

/** Ours are those of CLIP's encoder, which has the same layers. */
const leaves: Readonly<Record<string, string>> = {
  layer_norm1: 'layernorm_before',
  layer_norm2: 'layernorm_after',
  'self_attn.q_proj': 'attention.attention.query',
  'self_attn.k_proj': 'attention.attention.key',
  'self_attn.v_proj': 'attention.attention.value',
  'self_attn.out_proj': 'attention.output.dense',
  'mlp.fc1': 'intermediate.dense',
  'mlp.fc2': 'output.dense',
};

function storedName(name: string): string {
  const [, layer, leaf, kind] = name.match(/^encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$/) ?? [];
  if (leaf !== undefined) return `vit.encoder.layer.${layer}.${leaves[leaf] ?? leaf}.${kind}`;
  return name.startsWith('classifier.') ? name : `vit.${name}`;
}

const probe = 'vit.embeddings.cls_token';

export const vitDialects: readonly Dialect[] = [
  {
    name: 'transformers',
    probe,
    matches: (names) => names.has(probe) && names.has('classifier.weight'),
    locate: (name) => [{ name: storedName(name) }],
  },
];
