/** FLUX.1 Depth and Canny [dev] as LoRAs (black-forest-labs): updates, other norms and a wider first layer together. */
import type { Family } from './family.ts';

export const bflControl: Family = {
  name: 'BFL control',
  probe: 'double_blocks.0.img_attn.norm.query_norm.scale',
  owns: (name) => /\.(query|key)_norm\.scale$/.test(name),
  locate: () => undefined,
  refusal:
    'it is a control LoRA (FLUX.1 Depth or Canny): it widens the first layer to take a control picture beside the ' +
    'latents and replaces norms, and Kontext has no such input',
};
