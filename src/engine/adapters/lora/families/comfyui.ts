/** ComfyUI (`comfy/lora.py`): BFL's layers under the name its checkpoints have for the network. */
import { prefixed } from './family.ts';

export const comfyui = prefixed('ComfyUI', 'diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight', {
  transformer: ['diffusion_model.', 'model.diffusion_model.'],
  clip: ['text_encoders.clip_l.transformer.', 'text_encoders.clip_l.'],
  t5: ['text_encoders.t5xxl.transformer.', 'text_encoders.t5xxl.'],
});
