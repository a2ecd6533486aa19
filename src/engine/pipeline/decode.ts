/** From a latent to an image. */
import { type Bitmap, cropBitmap, fromPlanar } from '../image/pixels.ts';
import type { Size } from '../image/sizes.ts';
import { unpack } from '../latents/packing.ts';
import type { LatentDecoder } from '../networks/autoencoder.ts';
import type { Loading } from '../networks/loadable.ts';
import type { Encoded } from './encode.ts';

/** The image of packed tokens x [L, C·4]: the canvas that they decode to, cut to `size`. */
export async function* decode(
  size: Size,
  { x, encoded: { latent, canvas } }: { x: Float32Array; encoded: Encoded },
  loading: Loading<LatentDecoder>,
): Loading<Bitmap> {
  const decoder = yield* loading;
  return cropBitmap(fromPlanar(await decoder.decode(unpack(x, latent), latent), canvas), size);
}
