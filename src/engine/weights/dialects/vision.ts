/** Checkpoints of image encoders: transformers' names without (ours) and with the prefixes that joint models add. */
import { type Dialect, prefixed } from './index.ts';

/** The projection stands beside the encoder, not in it. */
function clip(name: string, prefix: string): Dialect {
  const probe = `${prefix}pre_layrnorm.weight`;
  return {
    name,
    probe,
    matches: (names) => names.has(probe),
    locate: (tensor) => [{ name: tensor.startsWith('visual_projection.') ? tensor : prefix + tensor }],
  };
}

export const clipVisionDialects: readonly Dialect[] = [
  clip('transformers', 'vision_model.'),
  clip('transformers, without prefix', ''),
];

export const siglipVisionDialects: readonly Dialect[] = [
  prefixed('transformers', 'vision_model.', 'head.probe'),
  prefixed('transformers, without prefix', '', 'head.probe'),
];
