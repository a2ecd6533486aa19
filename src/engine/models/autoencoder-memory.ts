/** The working memory of an autoencoder on the CPU. */
import { type AutoencoderConfig, growth } from './autoencoder-config.ts';

const floatBytes = 4;

type Size = { width: number; height: number };

/**
 * Bytes of activations alive at once when an image of this size is decoded.
 *
 * The peak is in the widest level: its input, the normed input, that after SiLU and a copy in the convolution's own
 * layout, and a fifth more for what the allocator holds. At the ends it is the image and its copies. FLUX's decoder,
 * measured: 4223 MiB at 1024×1024, 1892 at 768×512, 1028 at 512×512, 259 at 256×256.
 */
export function decoderBytes(config: AutoencoderConfig, size: Size): number {
  const widest = levels(config, size).map(({ input, pixels }) => input * pixels);
  return floatBytes * (5 * Math.max(...widest) + ends(config, size));
}

/** Bytes of encoding, whose levels begin as wide as they end. */
export function encoderBytes(config: AutoencoderConfig, size: Size): number {
  const { channels, patch, imageChannels } = config;
  const pixels = size.width * size.height;
  const widest = channels.map((count, i) => (count * pixels) / (patch * 2 ** i) ** 2);
  return floatBytes * (5 * Math.max(...widest) + 4 * imageChannels * pixels);
}

/**
 * Bytes of decoding in bands: a level's input and the results of its block's two convolutions, and for a band a few
 * values with the rows of its neighbours. The finest level's input is never whole.
 */
export function decoderInBandsBytes(config: AutoencoderConfig, size: Size): number {
  const all = levels(config, size);
  const whole = all.map(({ input, output, pixels }, i) => ((i === 0 ? output : input) + 2 * output) * pixels);
  const share = Math.min(bandPixels / (size.width * size.height), 1);
  const band = all.map(({ input, pixels }) => 8 * input * pixels * share);
  return floatBytes * (Math.max(...whole) + Math.max(...band) + ends(config, size));
}

/** Decoders whose finest level has a position for every pixel, as the reference's, need memory enough to be cut. */
export function takesBands({ decoderPatch }: AutoencoderConfig): boolean {
  return decoderPatch === 1;
}

/** Pixels of an image's band: its values, 16 MiB with 256 channels, stay small beside the image's. */
const bandPixels = 1 << 14;

/** Rows of the latent in a band: the largest divisor of h that stays within `bandPixels`. */
export function bandRows({ stride }: AutoencoderConfig, { h, w }: { h: number; w: number }): number {
  let rows = Math.min(Math.max(Math.floor(bandPixels / (w * stride ** 2)), 1), h);
  while (h % rows !== 0) rows--;
  return rows;
}

/** A decoder's level begins with the channels of the coarser one unless it grows by a pixel_shuffle. */
function levels(config: AutoencoderConfig, { width, height }: Size) {
  const { decoderChannels: channels, decoderPatch, upsample } = config;
  return channels.map((output, i) => ({
    input: upsample === 'nearest' ? Math.max(output, channels[i + 1] ?? output) : output,
    output,
    pixels: (width * height) / (decoderPatch * growth(config) ** i) ** 2,
  }));
}

/** The image and its copies. */
function ends({ imageChannels }: AutoencoderConfig, { width, height }: Size): number {
  return 4 * imageChannels * width * height;
}
