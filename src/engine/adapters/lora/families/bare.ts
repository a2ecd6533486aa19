/** Layers' names as they are, BFL's or diffusers', without a prefix: ComfyUI and several trainers read and write them. */

import { locatePart } from '../parts.ts';
import type { Family } from './family.ts';

/** `blocks` is DiffSynth's name of the double blocks. */
const start = /^(blocks|double_blocks|single_blocks|transformer_blocks|single_transformer_blocks)\./;

export const bare: Family = {
  name: 'without a prefix',
  probe: 'transformer_blocks.0.attn.to_q.lora_A.weight',
  owns: (name) => start.test(name),
  locate(name) {
    const located = locatePart(name);
    return located && { network: 'transformer', ...located };
  },
};
