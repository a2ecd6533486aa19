/** CLIP text encoder checkpoints: transformers 5's names (ours), those with its older prefix, and all-in-one files. */
import { type Dialect, prefixed } from './index.ts';

const probe = 'embeddings.token_embedding.weight';

export const clipDialects: readonly Dialect[] = [
  prefixed('transformers', 'text_model.', probe),
  prefixed('transformers, without prefix', '', probe),
  prefixed('all in one', 'text_encoders.clip_l.transformer.text_model.', probe),
];
