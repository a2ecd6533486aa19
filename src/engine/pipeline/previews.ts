/** Previews of a run: the image that its last evaluation predicts, decoded as cheaply as the model can. */
import { encodeImage } from '../image/image-codec.ts';
import type { Velocity } from '../samplers/index.ts';
import { decode } from './decode.ts';
import type { Encoded } from './encode.ts';
import type { Events } from './events.ts';
import { checkAborted, type Run } from './run.ts';

export type Previews = {
  /** Wraps the velocity, so that previews are made from its evaluations. */
  watch(velocity: Velocity): Velocity;
  /** The preview after a step, if the plan has one there. */
  after(index: number): Events;
};

export function previews(run: Run, encoded: Encoded): Previews {
  const { plan, model, signal, log } = run;
  const { given, canvas } = encoded;
  const { previewEvery, output } = plan;
  const able = previewEvery > 0 && model.canPreview(given.ids.length / 3);
  if (previewEvery > 0 && !able)
    log('no previews: the decoder does not fit into memory beside the transformer');
  if (!able) return { watch: (velocity) => velocity, async *after() {} };
  let x0 = () => new Float32Array(0);
  return {
    watch: (velocity) => async (x, sigma) => {
      const v = await velocity(x, sigma);
      x0 = () => x.map((value, i) => value - sigma * v[i]!);
      return v;
    },
    async *after(index) {
      if ((index + 1) % previewEvery !== 0) return;
      const bitmap = yield* decode(run, { x: x0(), encoded }, model.previewDecoder(canvas));
      const image = await encodeImage(bitmap, output.format, output.quality);
      yield { type: 'preview', index, image };
      checkAborted(signal);
    },
  };
}
