/** kohya's sd-scripts (`networks/lora_flux.py`): BFL's layers, fused, with underscores; CLIP is te1 and T5 te3. */
import { prefixed } from './family.ts';

export const kohya = prefixed('kohya', 'lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight', {
  transformer: ['lora_unet_'],
  clip: ['lora_te1_', 'lora_te_'],
  t5: ['lora_te3_'],
});
