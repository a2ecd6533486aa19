/** A model in use: its components, the arithmetic chosen for it, and which of its networks are loaded. */
import path from 'node:path';
import { RetouchError } from '../error.ts';
import type { Progress } from './compile.ts';
import { type Components, openComponents } from './components.ts';
import { ImageDecoder, ImageEncoder } from './latent-codec.ts';
import type { EngineOptions } from './messages.ts';
import { autoencoderBytes } from './models/autoencoder-memory.ts';
import { examineDevice } from './onnx/self-test.ts';
import type { SessionOptions } from './onnx/session.ts';
import type { Plan, PrecisionName } from './plan.ts';
import { bytesPerWeight, choosePrecision } from './precision.ts';
import type { Residents } from './residents.ts';
import type { Size } from './sizes.ts';
import { TextEncoder } from './text-encoder.ts';
import { Transformer } from './transformer.ts';
import type { WeightSource } from './weights/source.ts';
import type { Compute } from './weights/weights.ts';

type Loading<T> = AsyncGenerator<Progress, T>;

/** Opens the files of the plan's model and decides how it is computed; loads nothing yet. */
export async function openModel(
  plan: Plan,
  residents: Residents,
  options: EngineOptions,
): Promise<LoadedModel> {
  const { device } = plan.numerics;
  const components = await openComponents(plan.model);
  const examined = await examineDevice(device, options.threads);
  const precision = choosePrecision(plan.numerics, components.transformer.config, examined.half);
  if (precision === 'f16' && !examined.half)
    throw new RetouchError('precisionUnsupported', `${device} computes no f16 here; f32 is available`, {
      device,
      precision,
    });
  if (precision === 'int8' && device !== 'cpu')
    throw new RetouchError('precisionUnsupported', `int8 is computed on the cpu only, not on ${device}`, {
      device,
      precision,
    });
  return new LoadedModel(plan, components, precision, examined.fused, residents, options.threads);
}

export class LoadedModel {
  readonly components: Components;
  readonly precision: PrecisionName;
  private readonly plan: Plan;
  private readonly compute: Compute;
  private readonly residents: Residents;
  private readonly session: SessionOptions;

  constructor(
    plan: Plan,
    components: Components,
    precision: PrecisionName,
    fused: boolean,
    residents: Residents,
    threads: number,
  ) {
    this.plan = plan;
    this.components = components;
    this.precision = precision;
    this.compute = { product: precision, fused };
    this.residents = residents;
    this.session = { device: plan.numerics.device, threads };
  }

  /** Loads what fits of the networks a run will use, in the order of use, so that the steps start at once. */
  async *warmUp({ references, width, height }: Plan): Loading<void> {
    yield* this.textEncoder();
    if (references.length > 0) yield* this.encoder({ width, height });
    yield* this.decoder({ width, height });
    yield* this.transformer(0);
  }

  textEncoder(): Loading<TextEncoder> {
    const { clip, t5 } = this.components;
    const bytes = this.weightBytes(clip.source) + this.weightBytes(t5.source);
    const working = TextEncoder.workingBytes(this.components);
    const load = () =>
      TextEncoder.load(this.components, this.compute, this.session, (name) => this.cacheFile(name));
    return this.acquire('text encoders', { bytes, working }, load);
  }

  encoder(size: Size): Loading<ImageEncoder> {
    return this.acquire('image encoder', this.codecBytes(size), () =>
      ImageEncoder.load(this.components.autoencoder, this.compute, this.session),
    );
  }

  decoder(size: Size): Loading<ImageDecoder> {
    return this.acquire('image decoder', this.codecBytes(size), () =>
      ImageDecoder.load(this.components.autoencoder, this.compute, this.session),
    );
  }

  /** @param tokens of text, target and references together */
  transformer(tokens: number): Loading<Transformer> {
    const { transformer } = this.components;
    const bytes = this.weightBytes(transformer.source);
    const working = Transformer.workingBytes(transformer.config, tokens, this.compute);
    const load = () =>
      Transformer.load(transformer, this.compute, this.session, this.cacheFile('transformer'));
    return this.acquire('transformer', { bytes, working }, load);
  }

  private acquire<T extends { release(): Promise<void> }>(
    what: string,
    size: { bytes: number; working: number },
    load: () => Loading<T>,
  ): Loading<T> {
    const { air, files } = this.plan.model;
    const where = files.layout === 'diffusers' ? files.folder : files.transformer;
    const key = `${what} of ${air} (${this.precision} on ${this.session.device}, ${where})`;
    return this.residents.acquire(key, size, load);
  }

  private codecBytes({ width, height }: Size): { bytes: number; working: number } {
    const { source, config } = this.components.autoencoder;
    return { bytes: 4 * countValues(source), working: autoencoderBytes(config, width, height) };
  }

  private weightBytes(source: WeightSource): number {
    return bytesPerWeight(this.precision, this.session.device) * countValues(source);
  }

  private cacheFile(component: string): string {
    return path.join(this.plan.model.cacheFolder, `${component}-int8.safetensors`);
  }
}

function countValues(source: WeightSource): number {
  let count = 0;
  for (const { shape } of source.checkpoint.tensors.values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
