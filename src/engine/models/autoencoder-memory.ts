/** What an autoencoder needs to run. */
import type { AutoencoderConfig } from './autoencoder-config.ts';

/** Bytes of the largest activations alive at once: four of the widest level's, and the attention's in the middle. */
export function autoencoderBytes(
  { channels, patch, stride }: AutoencoderConfig,
  width: number,
  height: number,
): number {
  const levels = channels.map((count, i) => (count * width * height) / (patch * 2 ** i) ** 2);
  const positions = (width * height) / stride ** 2;
  return 4 * (4 * Math.max(...levels) + 6 * positions * channels.at(-1)!);
}
