/**
 * An edit under a mask: outside of it the first reference stays. As diffusers' `FluxKontextInpaintPipeline` at strength 1,
 * which keeps the image outside only approximately; here the reference's pixels are laid over the result as well.
 */
import { decodeImage } from '../image/image-codec.ts';
import { type Bitmap, padBitmap } from '../image/pixels.ts';
import { resizeLanczos } from '../image/resample.ts';
import { latentMask } from '../latents/inpaint.ts';
import { pack } from '../latents/packing.ts';
import type { Repaint } from './denoise.ts';
import { type Encoded, encodeReference } from './encode.ts';
import type { Events } from './events.ts';
import type { Run } from './run.ts';

export type Kept = {
  repaint: Repaint;
  /** The result with the reference's pixels outside the mask: (1-m)·reference + m·result. */
  restore(result: Bitmap): Bitmap;
};

/** `mask`: an encoded grey image, white where the first reference is edited. Both are stretched to the plan's size. */
export async function* openKept(
  { plan, model }: Run,
  mask: Uint8Array,
  { latent, canvas }: Encoded,
): Events<Kept> {
  const { references, width, height } = plan;
  const stretch = async (bytes: Uint8Array) => resizeLanczos(await decodeImage(bytes), width, height);
  const original = await stretch(references[0]!);
  const grey = await stretch(mask);
  const { tokens } = yield* encodeReference(original, model);
  const inside = greyPixels(padBitmap(grey, canvas));
  return {
    repaint: { init: tokens, mask: pack(latentMask(inside, latent), latent), strength: 1 },
    restore: (result) => layOver(original, result, grey),
  };
}

/** [height, width]: the first of three equal channels. */
function greyPixels({ width, height, data }: Bitmap): { width: number; height: number; data: Uint8Array } {
  return { width, height, data: Uint8Array.from({ length: width * height }, (_, i) => data[3 * i]!) };
}

function layOver(original: Bitmap, result: Bitmap, mask: Bitmap): Bitmap {
  const data = result.data.map((value, i) => {
    const m = mask.data[i]! / 255;
    return Math.round(m * value + (1 - m) * original.data[i]!);
  });
  return { ...result, data };
}
