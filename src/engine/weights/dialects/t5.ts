/** T5 encoder checkpoints: transformers' names (ours), alone or in an all-in-one file. */
import type { Dialect } from './index.ts';

const table = 'shared.weight';
/** The same table's other name: files hold one of the two, or both. */
const tiedTable = 'encoder.embed_tokens.weight';

function transformers(name: string, prefix: string): Dialect {
  const probe = `${prefix}encoder.block.0.layer.0.SelfAttention.q.weight`;
  return {
    name,
    probe,
    matches: (names) => names.has(probe),
    locate(tensor, names) {
      const stored = tensor === table && !names.has(prefix + table) ? tiedTable : tensor;
      return [{ name: prefix + stored }];
    },
  };
}

export const t5Dialects: readonly Dialect[] = [
  transformers('transformers', ''),
  transformers('all in one', 'text_encoders.t5xxl.transformer.'),
];
