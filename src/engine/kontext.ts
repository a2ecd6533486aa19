/**
 * FLUX.1 Kontext (arXiv 2506.15742): one Plan in, its events out. The reference pipelines are
 * black-forest-labs/flux `cli_kontext.py` and diffusers `pipeline_flux_kontext.py`.
 */
import { RetouchError } from '../error.ts';
import type { Progress } from './compile.ts';
import { decodeImage, encodeImage, resizeReference } from './image.ts';
import type { ImageDecoder } from './latent-codec.ts';
import { drawNoise, type LatentShape, pack, unpack } from './latents.ts';
import { type LoadedModel, openModel } from './loaded-model.ts';
import type { Engine, EngineOptions } from './messages.ts';
import { cropBitmap, fromPlanar, padBitmap, toPlanar } from './pixels.ts';
import type { EncodedImage, EngineEvent, Plan, StageName } from './plan.ts';
import { Generator } from './random.ts';
import { Residents } from './residents.ts';
import { type Model, samplers } from './samplers/index.ts';
import { resolutionShift, sigmas } from './sigmas/index.ts';
import { padSize } from './sizes.ts';
import { guidanceInput, timestepInput } from './timestep.ts';
import { referenceIds, type TokenGrid, targetIds, textIds } from './token-ids.ts';
import type { Conditioning } from './transformer.ts';

/** An engine in this process; `EngineHost` runs one in a child. */
export function createEngine(options: EngineOptions): Engine {
  const residents = new Residents(options.memoryLimit);
  return {
    run: (plan, signal) => kontext(plan, signal, residents, options),
    release: () => residents.release(),
  };
}

type Events<T = void> = AsyncGenerator<EngineEvent, T>;

/** Yields what `EngineEvent` lists, in that order; stops between events when `signal` fires. */
async function* kontext(
  plan: Plan,
  signal: AbortSignal,
  residents: Residents,
  options: EngineOptions,
): Events {
  const begin = performance.now();
  const model = yield* load(plan, residents, options);
  const { given, negative, latent, canvas } = yield* encode(plan, model);
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
  let x = first;
  let started = performance.now();
  for await (const step of samplers[plan.sampler](watched, x, schedule, { noise })) {
    x = step.x;
    const milliseconds = performance.now() - started;
    yield { type: 'step-end', index: step.index, steps: plan.steps, sigma: step.sigma, milliseconds };
    checkAborted(signal);
    if (plan.previewEvery > 0 && (step.index + 1) % plan.previewEvery === 0 && step.index + 1 < plan.steps) {
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

type Encoded = {
  given: Conditioning;
  negative: Conditioning | undefined;
  /** The target's latent and the picture it decodes to, larger than asked for where the strides need it. */
  latent: LatentShape;
  canvas: { width: number; height: number };
};

async function* encode(plan: Plan, model: LoadedModel): Events<Encoded> {
  const begin = performance.now();
  const text = yield* staged('encode', model.textEncoder());
  const prompt = await text.encode(plan.prompt);
  const opposite = plan.trueCfg > 1 ? await text.encode(plan.negativePrompt) : undefined;

  const { stride, latentChannels } = model.components.autoencoder.config;
  const gridOf = ({ width, height }: { width: number; height: number }): TokenGrid => ({
    rows: height / (2 * stride),
    columns: width / (2 * stride),
  });
  const canvas = padSize(plan, 2 * stride);
  const grids: TokenGrid[] = [];
  const packed: Float32Array[] = [];
  for (const [i, bytes] of plan.references.entries()) {
    yield {
      type: 'stage-progress',
      stage: 'encode',
      message: 'encoding references',
      fraction: i / plan.references.length,
    };
    const resized = resizeReference(await decodeImage(bytes));
    const bitmap = padBitmap(resized, padSize(resized, 2 * stride));
    const encoder = yield* staged('encode', model.encoder(bitmap));
    const shape = { channels: latentChannels, h: bitmap.height / stride, w: bitmap.width / stride };
    packed.push(pack(await encoder.encode(toPlanar(bitmap), bitmap), shape));
    grids.push(gridOf(bitmap));
  }
  const ids = joinFloats([
    textIds(prompt.tokens),
    targetIds(gridOf(canvas)),
    ...referenceIds(grids, plan.numerics.referenceIds),
  ]);
  const shared = {
    references: joinFloats(packed),
    ids,
    guidance: guidanceInput(plan.guidance, plan.numerics.timestepRounding),
  };
  yield { type: 'encode-end', milliseconds: performance.now() - begin };
  return {
    given: { ...shared, ...prompt },
    negative: opposite && { ...shared, ...opposite },
    latent: { channels: latentChannels, h: canvas.height / stride, w: canvas.width / stride },
    canvas,
  };
}

/** Progress as events of a stage. */
async function* staged<T>(stage: StageName, work: AsyncGenerator<Progress, T>): Events<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
    yield { type: 'stage-progress', stage, ...next.value };
  }
}

function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new RetouchError('engineAborted', 'The run was stopped.');
}

function joinFloats(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
