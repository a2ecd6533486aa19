/** The sizes of an AutoencoderKL, read from its tensors; the rest from config.json or the metadata `ae_config`. */
import { EngineError } from '../errors.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';

export type AutoencoderConfig = {
  /** Channels of every level, the finest first; the reference's decoder has the encoder's. */
  channels: number[];
  decoderChannels: number[];
  /** Residual blocks of a level in the encoder and in the decoder (one more). */
  encoderBlocks: number;
  decoderBlocks: number;
  imageChannels: number;
  latentChannels: number;
  /** Groups of every GroupNorm. */
  groups: number;
  /** Side of the squares of pixels that the encoder sees as one position and the decoder gives as one; 1 in the reference. */
  patch: number;
  decoderPatch: number;
  /** How the decoder's levels grow: 'nearest' by 2 and then a convolution, or a convolution and a pixel_shuffle by this. */
  upsample: 'nearest' | number;
  /** Pixels per latent position, on each side. */
  stride: number;
  /** The network's latent is (z − shift)·scale. */
  scale: number;
  shift: number;
};

/** FLUX.1's values, because its checkpoint `ae.safetensors` has no configuration. */
const fluxScale = { scale: 0.3611, shift: 0.1159 };

export function autoencoderConfig(source: WeightSource): AutoencoderConfig {
  const { path } = source.checkpoint;
  const config = settingsOf(source.checkpoint, 'ae_config');
  const levels = source.count('encoder.down', 'block.0.conv1.weight');
  const channels = Array.from(
    { length: levels },
    (_, i) => source.shape(`encoder.down.${i}.block.0.conv1.weight`)[0]!,
  );
  const decoderChannels = (config.decoder_block_out_channels as number[] | undefined) ?? channels;
  const [, latentChannels = 0] = source.shape('decoder.conv_in.weight');
  const patch = Number(config.patch_size ?? 1);
  const stride = patch * 2 ** (levels - 1);
  const upsample = config.upsample_factor === undefined ? 'nearest' : Number(config.upsample_factor);
  const grown = growth({ upsample }) ** (decoderChannels.length - 1);
  const decoderPatch = stride / grown;
  const imageChannels = source.shape('encoder.conv_in.weight')[1]! / patch ** 2;
  const groups = Number(config.norm_num_groups ?? 32);
  const blocks = Number(config.layers_per_block ?? 0);
  const invalid = (reason: string) => new EngineError('modelConfigInvalid', `${path}: ${reason}`, { path });
  if (imageChannels !== 3)
    throw invalid(
      `the first convolution takes ${imageChannels * patch ** 2} channels, expected 3·${patch}² (patch_size ${patch})`,
    );
  const odd = [...channels, ...decoderChannels].find((count) => count % groups !== 0);
  if (odd !== undefined || levels === 0)
    throw invalid(`levels of [${channels}] channels do not divide into ${groups} groups (norm_num_groups)`);
  if (!Number.isInteger(decoderPatch))
    throw invalid(
      `the decoder's ${decoderChannels.length} levels enlarge ${grown} times, the encoder's make ${stride} times smaller`,
    );
  // A config.json without these factors means the defaults of diffusers' AutoencoderKL.
  const known = Object.keys(config).length > 0 ? { scale: 0.18215, shift: 0 } : fluxScale;
  return {
    channels,
    decoderChannels,
    encoderBlocks: Math.max(source.count('encoder.down.0.block', 'conv1.weight'), blocks),
    decoderBlocks: Math.max(source.count('decoder.up.0.block', 'conv1.weight'), blocks + 1),
    imageChannels,
    latentChannels,
    groups,
    patch,
    decoderPatch,
    upsample,
    stride,
    scale: Number(config.scaling_factor ?? known.scale),
    shift: Number(config.shift_factor ?? known.shift),
  };
}

/** How many times wider and higher each level of the decoder is than the coarser one. */
export function growth({ upsample }: Pick<AutoencoderConfig, 'upsample'>): number {
  return upsample === 'nearest' ? 2 : upsample;
}
