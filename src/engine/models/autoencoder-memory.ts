/** The working memory of an autoencoder. */
import { type AutoencoderConfig, growth } from './autoencoder-config.ts';

const floatBytes = 4;

/**
 * Bytes of activations alive at once when an image of this size is decoded on the CPU; encoding takes less than half.
 *
 * The peak is in the widest level: its input, the normed input, that after SiLU and a copy in the convolution's own
 * layout, and a fifth because ONNX Runtime's arena grows in steps. A decoder's level begins with the channels of the
 * coarser one unless it grows by a pixel_shuffle. At the ends it is the image and its copies. FLUX's decoder, measured:
 * 4223 MiB at 1024×1024, 1892 at 768×512, 1028 at 512×512, 259 at 256×256.
 */
export function autoencoderBytes(config: AutoencoderConfig, width: number, height: number): number {
  const { decoderChannels: channels, decoderPatch, upsample, imageChannels } = config;
  const pixels = width * height;
  const levels = channels.map((count, i) => {
    const widest = upsample === 'nearest' ? Math.max(count, channels[i + 1] ?? count) : count;
    return (widest * pixels) / (decoderPatch * growth(config) ** i) ** 2;
  });
  return floatBytes * (5 * Math.max(...levels) + 4 * imageChannels * pixels);
}
