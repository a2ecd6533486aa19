/**
 * FLUX.1 Kontext (arXiv 2506.15742): one Plan in, its events out. The reference pipelines are
 * black-forest-labs/flux `cli_kontext.py` and diffusers `pipeline_flux_kontext.py`.
 */
import { RetouchError } from '../error.ts';
import type { Progress } from './compile.ts';
import { EncodingMemo } from './encoding.ts';
import { type Events, staged } from './events.ts';
import { encodeImage } from './image.ts';
import type { ImageDecoder } from './latent-codec.ts';
import { drawNoise, unpack } from './latents.ts';
import { type LoadedModel, openModel } from './loaded-model.ts';
import type { Engine, EngineOptions } from './messages.ts';
import { cropBitmap, fromPlanar } from './pixels.ts';
import type { EncodedImage, Plan } from './plan.ts';
import { Generator } from './random.ts';
import { Residents } from './residents.ts';
import { type Model, samplers } from './samplers/index.ts';
import { resolutionShift, sigmas } from './sigmas/index.ts';
import { timestepInput } from './timestep.ts';

/** An engine in this process; `EngineHost` runs one in a child. */
export function createEngine(options: EngineOptions): Engine {
  const residents = new Residents(options.memoryLimit);
  const memo = new EncodingMemo();
  return {
    run: (plan, signal) => kontext(plan, signal, { residents, memo, options }),
    release: () => residents.release(),
  };
}

/** What an engine keeps from run to run. */
type Keeping = { residents: Residents; memo: EncodingMemo; options: EngineOptions };

/** Yields what `EngineEvent` lists, in that order; stops between events when `signal` fires. */
async function* kontext(plan: Plan, signal: AbortSignal, { residents, memo, options }: Keeping): Events {
  const begin = performance.now();
  const model = yield* load(plan, residents, options);
  const { given, negative, latent, canvas } = yield* memo.encode(plan, model);
  checkAborted(signal);

  const transformer = yield* staged('load', model.transformer(given.ids.length / 3));
  const evaluate: Model = async (x, sigma) => {
    const time = timestepInput(sigma, plan.numerics.timestepRounding);
    const v = await transformer.velocity(x, time, given);
    if (!negative) return v;
    checkAborted(signal);
    const against = await transformer.velocity(x, time, negative);
    return against.map((value, i) => value + plan.trueCfg * (v[i]! - value));
  };
  const generator = new Generator(plan.seed);
  const noise = () => drawNoise(generator, latent, plan.numerics.noise);
  const tokens = (latent.h / 2) * (latent.w / 2);
  const schedule = sigmas[plan.sigmas](plan.steps, resolutionShift(tokens, model.components.shift));
  const decode = async function* (
    x: Float32Array,
    loading: AsyncGenerator<Progress, ImageDecoder>,
  ): AsyncGenerator<Progress, EncodedImage> {
    const decoder = yield* loading;
    const picture = fromPlanar(await decoder.decode(unpack(x, latent), latent), canvas);
    return encodeImage(cropBitmap(picture, plan), plan.output.format, plan.output.quality);
  };

  const first = noise();
  let last = { x: first, sigma: schedule[0]!, v: first };
  const watched: Model = async (x, sigma) => {
    const v = await evaluate(x, sigma);
    last = { x, sigma, v };
    return v;
  };
  const previewing = plan.previewEvery > 0 && model.canPreview(given.ids.length / 3);
  if (plan.previewEvery > 0 && !previewing)
    options.log('no previews: the decoder does not fit into memory beside the transformer');
  let x = first;
  let started = performance.now();
  for await (const step of samplers[plan.sampler](watched, x, schedule, { noise })) {
    x = step.x;
    const milliseconds = performance.now() - started;
    yield { type: 'step-end', index: step.index, steps: plan.steps, sigma: step.sigma, milliseconds };
    checkAborted(signal);
    if (previewing && (step.index + 1) % plan.previewEvery === 0 && step.index + 1 < plan.steps) {
      const x0 = last.x.map((value, i) => value - last.sigma * last.v[i]!);
      yield {
        type: 'preview',
        index: step.index,
        image: yield* staged('decode', decode(x0, model.previewDecoder(canvas))),
      };
      checkAborted(signal);
    }
    started = performance.now();
  }

  const image = yield* staged('decode', decode(x, model.decoder(canvas)));
  yield { type: 'decode-end', milliseconds: performance.now() - started };
  yield { type: 'image', image, milliseconds: performance.now() - begin };
}

async function* load(plan: Plan, residents: Residents, options: EngineOptions): Events<LoadedModel> {
  const begin = performance.now();
  const model = await openModel(plan, residents, options);
  yield* staged('load', model.warmUp());
  const { device } = plan.numerics;
  yield { type: 'load-end', milliseconds: performance.now() - begin, device, precision: model.precision };
  return model;
}

function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new RetouchError('engineAborted', 'The run was stopped.');
}
