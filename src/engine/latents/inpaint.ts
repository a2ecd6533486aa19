/**
 * Inpainting under a mask: diffusers `FluxKontextInpaintPipeline`. The run starts part-way down the schedule; after every
 * step the unmasked latent is restored, noised to the level that the sample has reached.
 */

/** The step to start from: strength 1 is 0, the whole schedule; small strengths leave few steps. */
export function firstStep(steps: number, strength: number): number {
  return Math.trunc(Math.max(steps - Math.min(steps * strength, steps), 0));
}

/** A latent at noise level sigma: (1-σ)·x0 + σ·noise. */
export function addNoise(x0: Float32Array, noise: Float32Array, sigma: number): Float32Array {
  return x0.map((value, i) => (1 - sigma) * value + sigma * noise[i]!);
}

/** Packed tokens, all of one length: the image to repaint, the run's first noise, and 1 where to repaint. */
export type Inpainting = { init: Float32Array; noise: Float32Array; mask: Float32Array };

/** The sample with the kept part replaced: (1-m)·keep + m·x, keep = `init` at noise level `sigma` (at 0, `init` itself). */
export function keepOutside(x: Float32Array, { init, noise, mask }: Inpainting, sigma: number): Float32Array {
  const keep = addNoise(init, noise, sigma);
  return x.map((value, i) => (1 - mask[i]!) * keep[i]! + mask[i]! * value);
}

/**
 * A grey mask (0 … 255, [height, width], white is to be repainted) as a latent mask [C, h, w] of zeros and ones:
 * binarised at one half, then the nearest pixel to the top left of each position, the same for every channel.
 */
export function latentMask(
  mask: { width: number; height: number; data: Uint8Array },
  { channels, h, w }: { channels: number; h: number; w: number },
): Float32Array {
  const plane = new Float32Array(h * w);
  for (let y = 0; y < h; y++) {
    const row = Math.floor((y * mask.height) / h) * mask.width;
    for (let x = 0; x < w; x++) {
      plane[y * w + x] = mask.data[row + Math.floor((x * mask.width) / w)]! >= 127.5 ? 1 : 0;
    }
  }
  const latent = new Float32Array(channels * h * w);
  for (let c = 0; c < channels; c++) latent.set(plane, c * h * w);
  return latent;
}
