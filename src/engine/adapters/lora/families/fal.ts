/** fal's Kontext trainer, and adapters that PEFT itself saved: the layers of the model trained, BFL's or diffusers'. */
import { prefixed } from './family.ts';

export const fal = prefixed('fal', 'base_model.model.double_blocks.0.img_attn.qkv.lora_A.weight', {
  transformer: ['base_model.model.'],
});
