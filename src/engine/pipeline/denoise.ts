/** From an encoded Plan to its latent: the same for the whole image and for a part of it that is repainted. */
import { addNoise, firstStep, keepOutside } from '../latents/inpaint.ts';
import { drawNoise } from '../latents/packing.ts';
import { timestepInput } from '../latents/timestep.ts';
import type { Conditioning, Transformer } from '../networks/transformer.ts';
import { noiseStream } from '../random/torch-noise.ts';
import { samplers, type Velocity } from '../samplers/index.ts';
import { resolutionShift, sigmas } from '../sigmas/index.ts';
import type { Encoded } from './encode.ts';
import { type Events, staged } from './events.ts';
import { previews } from './previews.ts';
import { checkAborted, type Run } from './run.ts';
import { StepCaching } from './step-caching.ts';

/** Repaints an image under a mask instead of painting a new one: packed tokens as long as the target. */
export type Repaint = {
  init: Float32Array;
  /** 1 where to repaint. */
  mask: Float32Array;
  /** 0 … 1: how much of the schedule is run; see `firstStep`. */
  strength: number;
};

/**
 * The latent of a plan, packed tokens [L, C·4]. Yields `step-end` after every step, previews, and `cache-end` where there
 * is a step cache; stops between steps when the run's signal fires.
 */
export async function* denoise(run: Run, encoded: Encoded, repaint?: Repaint): Events<Float32Array> {
  const { plan, model, signal } = run;
  const { latent, given } = encoded;
  const transformer = yield* staged('load', model.transformer(given.ids.length / 3));
  const schedule = scheduleOf(run, encoded, repaint);
  const steps = schedule.length - 1;
  // A cache's window counts the steps of a whole image; repainting a part takes fewer.
  const caching =
    plan.cache && (!repaint || repaint.strength === 1)
      ? new StepCaching(plan.cache, steps, await transformer.cacheSessions())
      : undefined;
  const preview = previews(run, encoded);
  const velocity = preview.watch(guidedVelocity(run, encoded, { transformer, caching }));
  const draw = noiseStream(plan.seed, plan.numerics.noise);
  const noise = () => drawNoise(draw, latent);
  const first = noise();
  const inpainting = repaint && { ...repaint, noise: first };
  let x = repaint ? addNoise(repaint.init, first, schedule[0]!) : first;
  try {
    let started = performance.now();
    for await (const step of samplers[plan.sampler].run(velocity, x, { sigmas: schedule, noise })) {
      const { index, sigma } = step;
      if (inpainting) step.x = keepOutside(step.x, inpainting, sigma);
      x = step.x;
      const reused = caching && { reused: caching.endStep() };
      yield { type: 'step-end', index, steps, sigma, milliseconds: performance.now() - started, ...reused };
      checkAborted(signal);
      if (index + 1 < steps) yield* preview.after(index);
      started = performance.now();
    }
    if (caching) yield caching.summary();
    return x;
  } finally {
    caching?.release();
  }
}

/** The noise levels that are run, from the first to 0. */
function scheduleOf({ plan, model }: Run, { latent }: Encoded, repaint: Repaint | undefined): Float64Array {
  const tokens = (latent.h / 2) * (latent.w / 2);
  const mu = resolutionShift(tokens, model.opened.components.shift);
  const whole = sigmas[plan.sigmas].levels(plan.steps, mu);
  return repaint ? whole.subarray(firstStep(plan.steps, repaint.strength)) : whole;
}

/** The network's velocity under the plan's LoRAs, and with a negative prompt under classifier-free guidance. */
function guidedVelocity(
  { plan, model, signal }: Run,
  { given, negative }: Encoded,
  { transformer, caching }: { transformer: Transformer; caching: StepCaching | undefined },
): Velocity {
  return async (x, sigma) => {
    const sample = { x, time: timestepInput(sigma, plan.numerics.timestepRounding) };
    const updates = model.loras.transformer(sigma);
    const velocity = (conditioning: Conditioning) =>
      caching
        ? caching.evaluate(conditioning, (cached) =>
            transformer.velocity(sample, conditioning, { updates, cached }),
          )
        : transformer.velocity(sample, conditioning, { updates });
    const v = await velocity(given);
    if (!negative) return v;
    checkAborted(signal);
    const against = await velocity(negative);
    return against.map((value, i) => value + plan.trueCfg * (v[i]! - value));
  };
}
