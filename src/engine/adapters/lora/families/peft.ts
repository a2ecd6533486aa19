/**
 * PEFT and diffusers (`save_lora_weights`), and ai-toolkit, which writes the same names: diffusers' layers under the
 * pipeline's component.
 */
import { prefixed } from './family.ts';

export const peft = prefixed('PEFT/diffusers', 'transformer.transformer_blocks.0.attn.to_q.lora_A.weight', {
  // SimpleTuner saves PEFT's own names under diffusers'.
  transformer: ['transformer.base_model.model.', 'transformer.', 'unet.'],
  clip: ['text_encoder.'],
  t5: ['text_encoder_2.'],
});
