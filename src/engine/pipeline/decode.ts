/** From a latent to an image. */
import { type Bitmap, cropBitmap, fromPlanar } from '../image/pixels.ts';
import { unpack } from '../latents/packing.ts';
import type { LatentDecoder } from '../networks/autoencoder.ts';
import type { Loading } from '../networks/loadable.ts';
import type { Encoded } from './encode.ts';
import { type Events, staged } from './events.ts';
import { checkAborted, type Run } from './run.ts';

/** Milliseconds between two reports. */
const interval = 1000;

/**
 * The image of packed tokens x [L, C·4]: the canvas that they decode to, cut to the plan's size. Stops when the run's signal
 * fires, where the decoder works in parts.
 */
export async function* decode(
  { plan, signal }: Pick<Run, 'plan' | 'signal'>,
  { x, encoded: { latent, canvas } }: { x: Float32Array; encoded: Encoded },
  loading: Loading<LatentDecoder>,
): Events<Bitmap> {
  const decoder = yield* staged('decode', loading);
  const told = (fraction: number) =>
    ({ type: 'stage-progress', stage: 'decode', message: 'decoding the image', fraction }) as const;
  yield told(0);
  let reported = performance.now();
  const decoding = decoder.decode(unpack(x, latent), latent);
  try {
    for (;;) {
      const next = await decoding.next();
      if (next.done) return cropBitmap(fromPlanar(next.value, canvas), plan);
      checkAborted(signal);
      if (performance.now() - reported < interval) continue;
      reported = performance.now();
      // Below 1: the stage ends with its own event.
      yield told(Math.min(next.value, 0.99));
    }
  } finally {
    await decoding.return(new Float32Array());
  }
}
