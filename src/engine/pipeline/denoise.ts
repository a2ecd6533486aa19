/**
 * From an encoded Plan to its latent and from a latent to a picture: the same for the whole picture and for a part of
 * it that is painted again.
 */
import { RetouchError } from '../../error.ts';
import { encodeImage } from '../image/image-codec.ts';
import { type Bitmap, cropBitmap, fromPlanar } from '../image/pixels.ts';
import { addNoise, blend, firstStep } from '../latents/inpaint.ts';
import { drawNoise, unpack } from '../latents/packing.ts';
import { timestepInput } from '../latents/timestep.ts';
import type { ImageDecoder } from '../networks/autoencoder.ts';
import type { Progress } from '../networks/compile.ts';
import type { Conditioning } from '../networks/transformer.ts';
import type { Plan } from '../plan.ts';
import { noiseStream } from '../random/torch-noise.ts';
import { type Model, samplers } from '../samplers/index.ts';
import { resolutionShift, sigmas } from '../sigmas/index.ts';
import type { Encoded } from './encoding.ts';
import { type Events, staged } from './events.ts';
import type { LoadedModel } from './model.ts';
import { StepCaching } from './step-caching.ts';

/** Paints a picture again, under a mask, instead of a new one: packed tokens as long as the target. */
export type Repaint = {
  init: Float32Array;
  /** 1 where to repaint. */
  mask: Float32Array;
  /** 0 … 1: how much of the schedule is run; see `firstStep`. */
  strength: number;
};

/**
 * The latent of a plan, packed tokens [L, C·4]. Yields `step-end` after every step, previews, and `cache-end` where there
 * is a step cache; stops between steps when `signal` fires.
 */
export async function* denoise(
  plan: Plan,
  model: LoadedModel,
  encoded: Encoded,
  signal: AbortSignal,
  log: (line: string) => void,
  repaint?: Repaint,
): Events<Float32Array> {
  const { given, negative, latent, canvas } = encoded;
  const transformer = yield* staged('load', model.transformer(given.ids.length / 3));
  const evaluate: Model = async (x, sigma) => {
    const time = timestepInput(sigma, plan.numerics.timestepRounding);
    const updates = model.loras.transformer(sigma);
    const velocity = (conditioning: Conditioning) =>
      caching
        ? caching.evaluate(conditioning, (cached) =>
            transformer.velocity({ x, time }, conditioning, { updates, cached }),
          )
        : transformer.velocity({ x, time }, conditioning, { updates });
    const v = await velocity(given);
    if (!negative) return v;
    checkAborted(signal);
    const against = await velocity(negative);
    return against.map((value, i) => value + plan.trueCfg * (v[i]! - value));
  };
  const draw = noiseStream(plan.seed, plan.numerics.noise);
  const noise = () => drawNoise(draw, latent);
  const tokens = (latent.h / 2) * (latent.w / 2);
  const whole = sigmas[plan.sigmas](plan.steps, resolutionShift(tokens, model.components.shift));
  const schedule = repaint ? whole.subarray(firstStep(plan.steps, repaint.strength)) : whole;
  const steps = schedule.length - 1;
  // A cache's window counts the steps of a whole picture; to paint a part again takes few.
  const caching =
    plan.cache && (!repaint || repaint.strength === 1)
      ? new StepCaching(plan.cache, steps, await transformer.cacheSessions())
      : undefined;

  const first = noise();
  let x = repaint ? addNoise(repaint.init, first, schedule[0]!) : first;
  let last = { x, sigma: schedule[0]!, v: first };
  const watched: Model = async (x, sigma) => {
    const v = await evaluate(x, sigma);
    last = { x, sigma, v };
    return v;
  };
  const previewing = plan.previewEvery > 0 && model.canPreview(given.ids.length / 3);
  if (plan.previewEvery > 0 && !previewing)
    log('no previews: the decoder does not fit into memory beside the transformer');
  try {
    let started = performance.now();
    for await (const step of samplers[plan.sampler].run(watched, x, schedule, { noise })) {
      if (repaint) step.x = blend(step.x, repaint.init, first, repaint.mask, step.sigma);
      x = step.x;
      if (caching) caching.step = step.index + 1;
      const milliseconds = performance.now() - started;
      const reused = caching && { reused: caching.takeReused() };
      yield { type: 'step-end', index: step.index, steps, sigma: step.sigma, milliseconds, ...reused };
      checkAborted(signal);
      if (previewing && (step.index + 1) % plan.previewEvery === 0 && step.index + 1 < steps) {
        const x0 = last.x.map((value, i) => value - last.sigma * last.v[i]!);
        const picture = yield* staged('decode', decode(plan, x0, encoded, model.previewDecoder(canvas)));
        const image = await encodeImage(picture, plan.output.format, plan.output.quality);
        yield { type: 'preview', index: step.index, image };
        checkAborted(signal);
      }
      started = performance.now();
    }
    if (caching) yield caching.summary();
    return x;
  } finally {
    caching?.release();
  }
}

/** The picture of packed tokens, of the plan's size. */
export async function* decode(
  plan: Plan,
  x: Float32Array,
  { latent, canvas }: Encoded,
  loading: AsyncGenerator<Progress, ImageDecoder>,
): AsyncGenerator<Progress, Bitmap> {
  const decoder = yield* loading;
  return cropBitmap(fromPlanar(await decoder.decode(unpack(x, latent), latent), canvas), plan);
}

export function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new RetouchError('engineAborted', 'The run was stopped.');
}
