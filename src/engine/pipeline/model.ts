/** The model of one plan: its files, its LoRAs and IP-Adapters, and its networks, each loaded on first use. */
import { ipAdapter } from '../adapters/ip-adapter/network.ts';
import { type IpAdapterUse, imagePromptTokens, useIpAdapter } from '../adapters/ip-adapter/use.ts';
import { visionEncoder } from '../adapters/ip-adapter/vision-encoder.ts';
import type { ActiveLoras } from '../adapters/lora/active.ts';
import type { LoraCache } from '../adapters/lora/cache.ts';
import { faceDetector } from '../faces/detect.ts';
import type { FaceDetector } from '../faces/types.ts';
import { preferredSizes, referenceSize, type Size } from '../image/sizes.ts';
import {
  imageDecoder,
  imageEncoder,
  type LatentDecoder,
  type LatentEncoder,
} from '../networks/autoencoder.ts';
import type { Loadable, Loading } from '../networks/loadable.ts';
import { type EngineLimits, type OpenedModel, openModelFiles } from '../networks/opened-model.ts';
import type { Residents } from '../networks/residents.ts';
import { type TextEncoder, textEncoder } from '../networks/text-encoder.ts';
import { imageTokens, textTokens } from '../networks/token-counts.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { type Transformer, transformer } from '../networks/transformer.ts';
import type { Plan } from '../plan.ts';
import { contentClassifier } from '../safety/check.ts';
import type { ContentClassifier } from '../safety/types.ts';
import type { ImagePromptPlace } from '../weights/weights.ts';

/** Resources that an engine keeps from run to run. */
export type EngineState = { residents: Residents; loras: LoraCache; limits: EngineLimits };

/** Opens all files of a plan, so that one that cannot be used is refused at once, and reads its LoRAs. */
export async function* openModel(plan: Plan, { residents, loras, limits }: EngineState): Loading<Model> {
  const opened = await openModelFiles(plan.model, plan.numerics, limits);
  const { components } = opened;
  const ipAdapters = plan.ipAdapters.map((planned) => useIpAdapter(planned, components.transformer.config));
  const active = yield* loras.open(plan.loras, components);
  return new Model(plan, { opened, loras: active, ipAdapters }, residents);
}

export class Model {
  readonly opened: OpenedModel;
  readonly loras: ActiveLoras;
  readonly ipAdapters: readonly IpAdapterUse[];
  readonly residents: Residents;
  private readonly plan: Plan;

  constructor(
    plan: Plan,
    parts: { opened: OpenedModel; loras: ActiveLoras; ipAdapters: readonly IpAdapterUse[] },
    residents: Residents,
  ) {
    this.plan = plan;
    this.opened = parts.opened;
    this.loras = parts.loras;
    this.ipAdapters = parts.ipAdapters;
    this.residents = residents;
  }

  /**
   * Loads every network of the run, so that the steps start at once, unless memory holds only some of them at a time:
   * then each is loaded when its turn comes.
   *
   * @throws RetouchError `notEnoughMemory` when one of them does not fit even alone
   */
  async *warmUp(): Loading<void> {
    const { plan, opened, residents } = this;
    const tokens =
      textTokens(opened.components) + imageTokens(opened.components, plan) + this.referenceTokens();
    const text = this.textLoadable();
    const decoder = imageDecoder(opened, plan, plan.decoder);
    const encoder = plan.references.length > 0 ? [imageEncoder(opened, referenceSize)] : [];
    const needed = [text, ...encoder, decoder, this.transformerLoadable(tokens)];
    for (const network of needed) residents.checkFits(network);
    if (plan.faces) this.checkFacesFit();
    for (const use of this.ipAdapters) {
      residents.checkFits(visionEncoder(opened, use));
      residents.checkFits(ipAdapter(opened, use));
    }
    if (!residents.holds(needed)) return;
    yield* residents.acquire(text);
    for (const network of encoder) yield* residents.acquire(network);
    yield* residents.acquire(decoder);
    yield* this.transformer(tokens);
  }

  textEncoder(): Loading<TextEncoder> {
    return this.residents.acquire(this.textLoadable());
  }

  imageEncoder(size: Size): Loading<LatentEncoder> {
    return this.residents.acquire(imageEncoder(this.opened, size));
  }

  /** The decoder that the plan names. */
  imageDecoder(size: Size): Loading<LatentDecoder> {
    return this.residents.acquire(imageDecoder(this.opened, size, this.plan.decoder));
  }

  /** The cheapest decoder there is. */
  previewDecoder(size: Size): Loading<LatentDecoder> {
    const which = this.opened.components.tiny ? 'tiny' : 'full';
    return this.residents.acquire(imageDecoder(this.opened, size, which));
  }

  /** Whether the decoder of previews fits beside the transformer, which must not be released between steps. */
  canPreview(tokens: number): boolean {
    return this.residents.holds([
      this.transformerLoadable(tokens),
      imageDecoder(this.opened, this.plan, 'full'),
    ]);
  }

  /**
   * Only one transformer is resident. It is recompiled the first time a plan has an IP-Adapter or keeps its references;
   * that build also serves plans without, bit-identically. On a GPU without right fused attention it is recompiled the
   * first time a plan has more tokens, too, and then serves plans with fewer.
   *
   * @param tokens of text, target and references together
   */
  async *transformer(tokens: number): Loading<Transformer> {
    const loaded = this.residentBuild();
    const build = this.build(loaded);
    if (build.places.length > loaded.places.length || build.keepsReferences !== loaded.keepsReferences)
      await this.residents.drop(this.transformerLoadable(tokens, loaded));
    const network = this.transformerLoadable(tokens, build);
    if (!this.residents.has(network))
      for (const smaller of this.transformerSizes(build)) await this.residents.drop(smaller);
    return yield* this.residents.acquire(network);
  }

  faceDetector(source: ToolSource): Loading<FaceDetector> {
    return this.residents.acquire(faceDetector(source, this.opened.session.threads));
  }

  contentClassifier(source: ToolSource): Loading<ContentClassifier> {
    return this.residents.acquire(contentClassifier(source, this.opened.session.threads));
  }

  private textLoadable(): Loadable<TextEncoder> {
    const forms = new Map([...this.loras.forms('clip'), ...this.loras.forms('t5')]);
    return textEncoder(this.opened, forms);
  }

  /** One that is compiled for more tokens serves as well. */
  private transformerLoadable(tokens: number, build = this.build(this.residentBuild())) {
    const own = this.transformerFor(tokens, build);
    const all = this.transformerSizes(build);
    const serves = all.slice(all.findIndex(({ key }) => key === own.key));
    const resident = serves.find((network) => this.residents.has(network));
    return resident ? { ...own, key: resident.key } : own;
  }

  /** The transformer for a standard edit's tokens and for multiples of them, which may all be the same (`mostTokens`). */
  private transformerSizes(build: Build): Loadable<Transformer>[] {
    const standard = this.opened.attention.transformer.tokens;
    return [1, 2, 3, 4].map((multiple) => this.transformerFor(multiple * standard, build));
  }

  private transformerFor(tokens: number, build: Build) {
    const passes = this.plan.trueCfg > 1 ? 2 : 1;
    return transformer(this.opened, {
      tokens,
      ...build,
      forms: this.loras.forms('transformer'),
      imagePromptTokens: this.ipAdapters.reduce((sum, use) => sum + imagePromptTokens(use), 0),
      updateBytes: this.loras.transformerBytes(),
      cachedPasses: this.plan.cache ? passes : 0,
      keptReferences: this.keepsReferences() ? passes * this.referenceTokens() : 0,
    });
  }

  /** The build of the resident transformer. */
  private residentBuild(): Build {
    return builds.find((build) => this.residents.has(this.transformerLoadable(0, build))) ?? plainBuild;
  }

  private build(loaded: Build): Build {
    const wanted = this.ipAdapters.map(({ adapter }) => adapter.format.place);
    return {
      places: allPlaces.filter((place) => loaded.places.includes(place) || wanted.includes(place)),
      keepsReferences: loaded.keepsReferences || this.keepsReferences(),
    };
  }

  private keepsReferences(): boolean {
    return this.plan.referenceInterval !== undefined && this.plan.references.length > 0;
  }

  /** References are fitted to about one megapixel, whatever the target's size. */
  private referenceTokens(): number {
    return this.plan.references.length * imageTokens(this.opened.components, referenceSize);
  }

  /** A face is worked on at a size of about one megapixel with itself as reference, whatever the image's size. */
  private checkFacesFit(): void {
    const { components } = this.opened;
    for (const size of preferredSizes) {
      const tokens = textTokens(components) + 2 * imageTokens(components, size);
      this.residents.checkFits(imageEncoder(this.opened, size));
      this.residents.checkFits(this.transformerLoadable(tokens));
    }
  }
}

const allPlaces: readonly ImagePromptPlace[] = ['attention', 'residual'];
const placeChoices: readonly (readonly ImagePromptPlace[])[] = [
  allPlaces,
  ...allPlaces.map((place) => [place]),
  [],
];

/** Parts of the transformer's graphs that some plans need and the others do not notice. */
type Build = { places: readonly ImagePromptPlace[]; keepsReferences: boolean };
const plainBuild: Build = { places: [], keepsReferences: false };
const builds: readonly Build[] = [true, false].flatMap((keepsReferences) =>
  placeChoices.map((places) => ({ places, keepsReferences })),
);
