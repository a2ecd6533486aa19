/** LyCORIS as SimpleTuner writes it: diffusers' layers with underscores, most often with LoKr factors. */
import { prefixed } from './family.ts';

export const lycoris = prefixed('LyCORIS', 'lycoris_transformer_blocks_0_attn_to_q.lokr_w1', {
  transformer: ['lycoris_'],
});
