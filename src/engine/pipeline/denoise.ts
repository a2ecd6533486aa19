/** From an encoded Plan to its latent: the same for the whole image and for a part of it that is repainted. */
import { addNoise, firstStep, keepOutside } from '../latents/inpaint.ts';
import { drawNoise } from '../latents/packing.ts';
import { timestepInput } from '../latents/timestep.ts';
import type { Cached, Conditioning, Transformer } from '../networks/transformer.ts';
import { noiseStream } from '../random/torch-noise.ts';
import { samplers, type Velocity } from '../samplers/index.ts';
import { resolutionShift, sigmas } from '../sigmas/index.ts';
import type { Encoded } from './encode.ts';
import { type Events, staged } from './events.ts';
import { interleave, type Report } from './interleave.ts';
import { previews } from './previews.ts';
import { ReferenceKeeping } from './reference-keeping.ts';
import { checkAborted, type Run } from './run.ts';
import { StepCaching } from './step-caching.ts';
import { StepProgress } from './step-progress.ts';

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
  const isWhole = !repaint || repaint.strength === 1;
  const caching =
    plan.cache && isWhole ? new StepCaching(plan.cache, steps, await transformer.cacheSessions()) : undefined;
  const { referenceInterval } = plan;
  const keeps = referenceInterval !== undefined && given.references.length > 0 && isWhole;
  const keeping = keeps ? new ReferenceKeeping(referenceInterval) : undefined;
  const preview = previews(run, encoded);
  const draw = noiseStream(plan.seed, plan.numerics.noise);
  const noise = () => drawNoise(draw, latent);
  const first = noise();
  const inpainting = repaint && { ...repaint, noise: first };
  let x = repaint ? addNoise(repaint.init, first, schedule[0]!) : first;
  const sampler = samplers[plan.sampler];
  const { depth, depthSingle } = transformer.config;
  const progress = new StepProgress({
    steps,
    blocks: depth + depthSingle,
    passes: Math.ceil(sampler.evaluations(steps) / steps) * (encoded.negative ? 2 : 1),
  });
  const sample = (report: Report<void>) => {
    const onBlocks = async (done: number) => {
      if (progress.note(done)) await report();
    };
    const passes = {
      transformer,
      caching,
      keeping,
      step: () => progress.step,
      beginPass: () => progress.beginPass(),
      onBlocks,
    };
    const velocity = preview.watch(guidedVelocity(run, encoded, passes));
    return sampler.run(velocity, x, { sigmas: schedule, noise });
  };
  try {
    let started = performance.now();
    for await (const next of interleave(sample)) {
      if ('report' in next) {
        yield progress.describe();
        checkAborted(signal);
        continue;
      }
      const { index, sigma } = next.item;
      if (inpainting) next.item.x = keepOutside(next.item.x, inpainting, sigma);
      x = next.item.x;
      progress.endStep();
      const reused = caching && { reused: caching.endStep() };
      yield { type: 'step-end', index, steps, sigma, milliseconds: performance.now() - started, ...reused };
      checkAborted(signal);
      if (index + 1 < steps) yield* preview.after(index);
      started = performance.now();
    }
    if (caching) yield caching.summary();
    if (keeping) yield keeping.summary();
    return x;
  } finally {
    caching?.release();
    keeping?.release();
  }
}

/** The noise levels that are run, from the first to 0. */
function scheduleOf({ plan, model }: Run, { latent }: Encoded, repaint: Repaint | undefined): Float64Array {
  const tokens = (latent.h / 2) * (latent.w / 2);
  const mu = resolutionShift(tokens, model.opened.components.shift);
  const whole = sigmas[plan.sigmas].levels(plan.steps, mu);
  return repaint ? whole.subarray(firstStep(plan.steps, repaint.strength)) : whole;
}

/** The network, and the listener of its passes. */
type Passes = {
  transformer: Transformer;
  caching: StepCaching | undefined;
  keeping: ReferenceKeeping | undefined;
  /** The step under way. */
  step(): number;
  beginPass(): void;
  onBlocks(done: number): Promise<void>;
};

/** The network's velocity under the plan's LoRAs, and with a negative prompt under classifier-free guidance. */
function guidedVelocity(
  { plan, model, signal }: Run,
  { given, negative }: Encoded,
  { transformer, caching, keeping, step, beginPass, onBlocks }: Passes,
): Velocity {
  return async (x, sigma) => {
    const sample = { x, time: timestepInput(sigma, plan.numerics.timestepRounding) };
    const updates = model.loras.transformer(sigma);
    const velocity = (conditioning: Conditioning) => {
      beginPass();
      const references = keeping?.of(conditioning);
      const evaluate = (cached: Cached | undefined) =>
        transformer.velocity(sample, conditioning, { updates, cached, onBlocks });
      if (caching) return caching.evaluate(conditioning, (cached) => evaluate({ ...cached, references }));
      return evaluate(references && { references, step: step() });
    };
    const v = await velocity(given);
    if (!negative) return v;
    checkAborted(signal);
    const against = await velocity(negative);
    return against.map((value, i) => value + plan.trueCfg * (v[i]! - value));
  };
}
