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
 * Bytes of decoding in bands, weights of a layer included: the images before and after a layer, of which the first is freed
 * band by band where no shortcut needs it, and for a band a few values with the rows of its neighbours. FLUX's decoder,
 * measured: 1350 MiB at 1024×1024.
 */
export function decoderInBandsBytes(config: AutoencoderConfig, size: Size): number {
  const all = levels(config, size);
  const whole = all.map(({ input, output, pixels }) => Math.max(input, 2 * output) * pixels);
  const share = Math.min(bandPixels / (size.width * size.height), 1);
  const band = all.map(({ input, pixels }) => 9 * input * pixels * share);
  return floatBytes * (Math.max(...whole) + Math.max(...band) + ends(config, size));
}

/**
 * Decoders whose finest level has a position for every pixel, as the reference's, need memory enough to be cut, and time
 * enough to be told of, unless the image is small.
 */
export function takesBands(config: AutoencoderConfig, size: Size): boolean {
  return config.decoderPatch === 1 && decoderBytes(config, size) > smallDecoding;
}

/** Bytes of activations of a decoding that takes no more than a second or two on one core. */
const smallDecoding = 2 ** 27;

/** Pixels of an image's band: its values, 16 MiB with 128 channels, stay small beside the image's. */
const bandPixels = 1 << 15;

/** Rows of the latent in a band. */
export function bandRows({ stride }: AutoencoderConfig, { h, w }: { h: number; w: number }): number {
  return Math.min(Math.max(Math.floor(bandPixels / (w * stride ** 2)), 1), h);
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
