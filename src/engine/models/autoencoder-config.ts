/** The sizes of an AutoencoderKL, read from its tensors; what they do not tell, from config.json or the metadata `ae_config`. */
import { RetouchError } from '../../error.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';

export type AutoencoderConfig = {
  /** Channels of every level, the finest first. */
  channels: number[];
  /** Residual blocks of a level in the encoder and in the decoder (one more). */
  encoderBlocks: number;
  decoderBlocks: number;
  imageChannels: number;
  latentChannels: number;
  /** Groups of every GroupNorm. */
  groups: number;
  /** Side of the squares of pixels that the network sees as one position; 1 in the reference. */
  patch: number;
  /** Pixels per latent position, on each side. */
  stride: number;
  /** The network's latent is (z − shift)·scale. */
  scale: number;
  shift: number;
};

/** FLUX.1's, for its checkpoint `ae.safetensors` comes without a configuration. */
const fluxScale = { scale: 0.3611, shift: 0.1159 };

export function autoencoderConfig(source: WeightSource): AutoencoderConfig {
  const { path } = source.checkpoint;
  const config = settingsOf(source.checkpoint, 'ae_config');
  const levels = source.count('encoder.down', 'block.0.conv1.weight');
  const channels = Array.from(
    { length: levels },
    (_, i) => source.shape(`encoder.down.${i}.block.0.conv1.weight`)[0]!,
  );
  const [, latentChannels = 0] = source.shape('decoder.conv_in.weight');
  const patch = Number(config.patch_size ?? 1);
  const imageChannels = source.shape('encoder.conv_in.weight')[1]! / patch ** 2;
  const groups = Number(config.norm_num_groups ?? 32);
  const blocks = Number(config.layers_per_block ?? 0);
  const invalid = (reason: string) => new RetouchError('modelConfigInvalid', `${path}: ${reason}`, { path });
  if (imageChannels !== 3)
    throw invalid(
      `the first convolution takes ${imageChannels * patch ** 2} channels, expected 3·${patch}² (patch_size ${patch})`,
    );
  const odd = channels.find((count) => count % groups !== 0);
  if (odd !== undefined || levels === 0)
    throw invalid(`levels of [${channels}] channels do not divide into ${groups} groups (norm_num_groups)`);
  // A config.json without these factors means the defaults of diffusers' AutoencoderKL.
  const known = Object.keys(config).length > 0 ? { scale: 0.18215, shift: 0 } : fluxScale;
  return {
    channels,
    encoderBlocks: Math.max(source.count('encoder.down.0.block', 'conv1.weight'), blocks),
    decoderBlocks: Math.max(source.count('decoder.up.0.block', 'conv1.weight'), blocks + 1),
    imageChannels,
    latentChannels,
    groups,
    patch,
    stride: patch * 2 ** (levels - 1),
    scale: Number(config.scaling_factor ?? known.scale),
    shift: Number(config.shift_factor ?? known.shift),
  };
}
