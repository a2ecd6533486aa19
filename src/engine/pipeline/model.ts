/** A model in use: its components, the arithmetic chosen for it, and which of its networks are loaded. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { RetouchError } from '../../error.ts';
import { GuideEncoder } from '../adapters/ip-adapter/image-encoder.ts';
import { IpAdapter } from '../adapters/ip-adapter/network.ts';
import { guideTokens, type OpenGuide, openGuide } from '../adapters/ip-adapter/open.ts';
import { ActiveLoras } from '../adapters/lora/active.ts';
import type { Face } from '../faces/boxes.ts';
import { detectLargestFace } from '../faces/detect.ts';
import type { Bitmap } from '../image/pixels.ts';
import { preferredSizes, type Size } from '../image/sizes.ts';
import { autoencoderBytes } from '../models/autoencoder-memory.ts';
import { ImageDecoder, ImageEncoder } from '../networks/autoencoder.ts';
import type { Progress } from '../networks/compile.ts';
import { type Components, openComponents } from '../networks/components.ts';
import { bytesPerWeight, choosePrecision } from '../networks/precision.ts';
import type { Need, Residents } from '../networks/residents.ts';
import { TextEncoder } from '../networks/text-encoder.ts';
import { Transformer } from '../networks/transformer.ts';
import { examineDevice } from '../onnx/self-test.ts';
import type { SessionOptions } from '../onnx/session.ts';
import type { Plan, PrecisionName, ToolSource } from '../plan.ts';
import type { EngineOptions } from '../process/messages.ts';
import type { WeightSource } from '../weights/source.ts';
import { countOf } from '../weights/stored.ts';
import type { Compute, ImagePromptPlace, UpdateForm } from '../weights/weights.ts';

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
  const precision = choosePrecision(plan.numerics, components.transformer.config, examined);
  return new LoadedModel(plan, components, precision, examined.fused, residents, options.threads);
}

export class LoadedModel {
  readonly components: Components;
  readonly precision: PrecisionName;
  /** What changes its networks in this run. */
  loras = new ActiveLoras([]);
  /** Of the plan's IP-Adapters. */
  readonly guides: readonly OpenGuide[];
  private readonly plan: Plan;
  private readonly compute: Compute;
  private readonly residents: Residents;
  private readonly session: SessionOptions;
  /** For networks that run once or twice an image: what they work in is free for the others afterwards. */
  private readonly onceAnImage: SessionOptions;

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
    this.guides = plan.ipAdapters.map((planned) => openGuide(planned, components.transformer.config));
    this.compute = { product: precision, fused };
    this.residents = residents;
    this.session = { device: plan.numerics.device, threads };
    this.onceAnImage = { ...this.session, arena: false };
  }

  /**
   * Loads everything a run will use, so that the steps start at once, unless memory holds only some of it at a time:
   * then each network is loaded when its turn comes.
   *
   * @throws RetouchError `notEnoughMemory` when one of them does not fit even alone
   */
  async *warmUp(): Loading<void> {
    const { references, width, height } = this.plan;
    const { stride } = this.components.autoencoder.config;
    const side = 2 * stride;
    const image = Math.ceil(width / side) * Math.ceil(height / side);
    const tokens = this.textTokens() + image * (1 + references.length);
    const needs = [this.textNeed(), this.codecNeed(this.plan), this.transformerNeed(tokens)];
    for (const [i, need] of needs.entries())
      this.residents.checkFits(this.key(['text encoders', 'image decoder', 'transformer'][i]!), need);
    if (this.plan.faces) this.checkFacesFit(side);
    for (const guide of this.guides) {
      this.residents.checkFits(...this.guideEncoderNeed(guide.planned.imageEncoder, guide.encoder));
      this.residents.checkFits(...this.ipAdapterNeed(guide));
    }
    const encoder = references.length > 0 ? [this.codecNeed(this.plan)] : [];
    if (!this.residents.holds([...needs, ...encoder])) return;
    yield* this.textEncoder();
    if (references.length > 0) yield* this.encoder(this.plan);
    yield* this.decoder(this.plan);
    yield* this.transformer(tokens);
  }

  /** A face is worked on at a size of about one megapixel with itself as reference, whatever the picture's size. */
  private checkFacesFit(side: number): void {
    for (const size of preferredSizes) {
      const tokens = Math.ceil(size.width / side) * Math.ceil(size.height / side);
      this.residents.checkFits(this.key('image encoder'), this.codecNeed(size));
      this.residents.checkFits(this.key('transformer'), this.transformerNeed(this.textTokens() + 2 * tokens));
    }
  }

  textEncoder(): Loading<TextEncoder> {
    const forms = new Map([...this.loras.forms('clip'), ...this.loras.forms('t5')]);
    const compute = { ...this.compute, forms };
    const load = () =>
      TextEncoder.load(this.components, compute, this.onceAnImage, (name) => this.cacheFile(name));
    return this.acquire(`text encoders${formsText(forms)}`, this.textNeed(), load);
  }

  encoder(size: Size): Loading<ImageEncoder> {
    const load = () => ImageEncoder.load(this.components.autoencoder, this.compute, this.onceAnImage);
    return this.acquire('image encoder', this.codecNeed(size), load);
  }

  /** @throws RetouchError `componentMissing` when `tiny` is asked for and the model has none */
  decoder(size: Size, which = this.plan.decoder): Loading<ImageDecoder> {
    const { autoencoder, tiny } = this.components;
    if (which === 'full')
      return this.acquire('image decoder', this.codecNeed(size), () =>
        ImageDecoder.full(autoencoder, this.compute, this.onceAnImage),
      );
    if (!tiny) {
      const { air } = this.plan.model;
      throw new RetouchError(
        'componentMissing',
        `${air} comes without a tiny autoencoder, which decoder 'tiny' needs; 'full' is available`,
        { air },
      );
    }
    return this.acquire('tiny image decoder', this.codecNeed(size), () =>
      ImageDecoder.tiny(tiny, this.compute, this.onceAnImage),
    );
  }

  /** Whether the decoder of previews fits beside the transformer, which must not be released between steps. */
  canPreview(tokens: number): boolean {
    return this.residents.holds([this.transformerNeed(tokens), this.codecNeed(this.plan)]);
  }

  /** The cheapest decoder there is. */
  previewDecoder(size: Size): Loading<ImageDecoder> {
    return this.decoder(size, this.components.tiny ? 'tiny' : 'full');
  }

  /**
   * There is one at a time: compiled with the places where adapters enter once they are asked for, it serves plans
   * without adapters as well, with the same result to the bit.
   *
   * @param tokens of text, target and references together
   */
  async *transformer(tokens: number): Loading<Transformer> {
    const forms = this.loras.forms('transformer');
    const name = (places: readonly ImagePromptPlace[]) =>
      `transformer${formsText(forms)}${places.length > 0 ? ` with guides (${places.join(', ')})` : ''}`;
    const loaded = placeChoices.find((places) => this.residents.has(this.key(name(places)))) ?? [];
    const wanted = this.guides.map(({ adapter }) => adapter.format.place);
    const places = allPlaces.filter((place) => loaded.includes(place) || wanted.includes(place));
    if (places.length > loaded.length) await this.residents.drop(this.key(name(loaded)));
    const compute = { ...this.compute, forms, places };
    const load = () =>
      Transformer.load(this.components.transformer, compute, this.session, this.cacheFile('transformer'));
    return yield* this.acquire(name(places), this.transformerNeed(tokens), load);
  }

  /** An encoder that several adapters share is loaded once. */
  guideEncoder({ planned, encoder }: OpenGuide): Loading<GuideEncoder> {
    const load = () => GuideEncoder.load(encoder, this.compute, this.onceAnImage);
    return this.residents.acquire(...this.guideEncoderNeed(planned.imageEncoder, encoder), load);
  }

  ipAdapter(guide: OpenGuide): Loading<IpAdapter> {
    const { hidden, heads } = this.components.transformer.config;
    const load = () => IpAdapter.load(guide.adapter, hidden / heads, this.compute, this.onceAnImage);
    return this.residents.acquire(...this.ipAdapterNeed(guide), load);
  }

  /** With the plan's own detector; see `detectLargestFace`. */
  largestFace(picture: Bitmap, detector: ToolSource): Loading<Face | undefined> {
    return detectLargestFace(picture, detector, this.residents, this.session.threads);
  }

  private acquire<T extends { release(): Promise<void> }>(
    what: string,
    need: Need,
    load: () => Loading<T>,
  ): Loading<T> {
    return this.residents.acquire(this.key(what), need, load);
  }

  private key(what: string): string {
    const { air, files } = this.plan.model;
    const where = files.layout === 'diffusers' ? files.folder : files.transformer;
    return `${what} of ${air} (${this.precision} on ${this.session.device}, ${where})`;
  }

  private textTokens(): number {
    return TextEncoder.tokens(this.components);
  }

  private textNeed(): Need {
    const { clip, t5 } = this.components;
    const bytes = this.weightBytes(clip.source) + this.weightBytes(t5.source);
    return { bytes, working: TextEncoder.workingBytes(this.components) };
  }

  private codecNeed({ width, height }: Size): Need {
    const { source, config } = this.components.autoencoder;
    return { bytes: 4 * countValues(source), working: autoencoderBytes(config, width, height) };
  }

  private transformerNeed(tokens: number): Need {
    const { source, config } = this.components.transformer;
    const onDevice = this.session.device === 'cpu' ? 0 : this.loras.transformerBytes();
    return {
      bytes: this.weightBytes(source),
      working: Transformer.workingBytes(config, tokens, this.compute, this.guideTokens()) + onDevice,
    };
  }

  private guideTokens(): number {
    return this.guides.reduce((sum, guide) => sum + guideTokens(guide), 0);
  }

  private guideEncoderNeed(where: string, { source, config }: OpenGuide['encoder']): [string, Need] {
    const need = { bytes: 4 * countValues(source), working: GuideEncoder.workingBytes(config) };
    return [`guide image encoder (f32 on ${this.session.device}, ${where})`, need];
  }

  private ipAdapterNeed({ planned, adapter }: OpenGuide): [string, Need] {
    const { layers, hidden } = adapter.config;
    const working = 8 * layers * hidden * guideTokens({ planned, adapter });
    const need = { bytes: 4 * countValues(adapter.source), working };
    return [`IP-Adapter ${planned.air} (f32 on ${this.session.device}, ${planned.file})`, need];
  }

  private weightBytes(source: WeightSource): number {
    return bytesPerWeight(this.precision, this.session.device) * countValues(source);
  }

  private cacheFile(component: string): string {
    return path.join(this.plan.model.cacheFolder, `${component}-${this.precision}.safetensors`);
  }
}

const allPlaces: readonly ImagePromptPlace[] = ['attention', 'residual'];
const placeChoices: readonly (readonly ImagePromptPlace[])[] = [
  allPlaces,
  ...allPlaces.map((place) => [place]),
  [],
];

/** Graphs compiled for LoRAs of one form serve all of that form, and no others. */
function formsText(forms: ReadonlyMap<string, UpdateForm>): string {
  if (forms.size === 0) return '';
  const hash = createHash('sha256')
    .update(JSON.stringify([...forms]))
    .digest('hex');
  return ` for LoRAs of form ${hash.slice(0, 8)}`;
}

/** Tables of tokens stay on disk: rows of them are read as a prompt needs them. */
const tables = /(shared|embed_tokens|token_embedding|token_embd)\.weight$/;

function countValues(source: WeightSource): number {
  let count = 0;
  for (const { name, shape } of source.entries) if (!tables.test(name)) count += countOf(shape);
  return count;
}
