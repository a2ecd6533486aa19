/**
 * XLabs (x-flux): attention processors' layers, in a double block 1 for the image and 2 for the text. Without alpha.
 * A single block's `proj_lora` is of its last layer, `qkv_lora` of the attention's part of its first.
 */
import type { Part } from '../parts.ts';
import type { Family } from './family.ts';

const pattern =
  /^(?:diffusion_model\.)?((double|single)_blocks\.\d+)\.processor\.(\w+?_lora[12]?)\.(down|up)\.weight$/;

const modules: Readonly<Record<string, string>> = {
  'double qkv_lora1': 'img_attn.qkv',
  'double qkv_lora2': 'txt_attn.qkv',
  'double proj_lora1': 'img_attn.proj',
  'double proj_lora2': 'txt_attn.proj',
  'single qkv_lora': 'linear1_qkv',
  'single proj_lora': 'linear2',
};

export const xlabs: Family = {
  name: 'XLabs',
  probe: 'double_blocks.0.processor.qkv_lora1.down.weight',
  owns: (name) => name.includes('.processor.'),
  locate(name) {
    const [, block, kind, layer, part] = name.match(pattern) ?? [];
    const module = modules[`${kind} ${layer}`];
    return module === undefined
      ? undefined
      : { network: 'transformer', module: `${block}.${module}`, part: part as Part };
  },
};
