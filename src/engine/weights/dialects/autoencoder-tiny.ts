/**
 * AutoencoderTiny checkpoints: diffusers' names (ours) and taesd's, whose layers are numbered without a prefix, one
 * file for each half (`taef1_encoder`, `taef1_decoder`), or under the prefixes ComfyUI joins them with.
 */
import { type Dialect, prefixed } from './index.ts';

/** taesd's decoder begins with its clamp as layer 0: every number is one higher. */
function taesd(
  name: string,
  encoder: string | undefined,
  decoder: string | undefined,
  probe: string,
): Dialect {
  return {
    name,
    probe,
    matches: (names) => names.has(probe) && !(decoder === '' && names.has('0.weight')),
    locate(tensor) {
      const layer = tensor.match(/^(encoder|decoder)\.layers\.(\d+)\.(.+)$/);
      if (!layer) return [{ name: tensor }];
      const [, side, index, leaf] = layer as unknown as [string, string, string, string];
      const prefix = side === 'encoder' ? encoder : decoder;
      const number = Number(index) + (side === 'encoder' ? 0 : 1);
      return [{ name: prefix === undefined ? tensor : `${prefix}${number}.${leaf}` }];
    },
  };
}

export const autoencoderTinyDialects: readonly Dialect[] = [
  prefixed('diffusers', '', 'decoder.layers.0.weight'),
  prefixed('diffusers, encoder', '', 'encoder.layers.0.weight'),
  taesd('taesd encoder', '', undefined, '0.weight'),
  taesd('taesd decoder', undefined, '', '1.weight'),
  taesd('taesd, both halves', 'taesd_encoder.', 'taesd_decoder.', 'taesd_decoder.1.weight'),
];
