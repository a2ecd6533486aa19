/** OneTrainer: diffusers' layers with underscores. Its T5 is te2 for FLUX and te3 in files made as for SD3. */
import { prefixed } from './family.ts';

export const onetrainer = prefixed(
  'OneTrainer',
  'lora_transformer_transformer_blocks_0_attn_to_q.lora_down.weight',
  { transformer: ['lora_transformer_'], clip: ['lora_te1_'], t5: ['lora_te2_', 'lora_te3_'] },
);
