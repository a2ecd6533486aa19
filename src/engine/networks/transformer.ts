/**
 * A FLUX transformer ready to run: its segments compiled for a device, its weights loaded once.
 */
import type { StepCache } from '../caches/index.ts';
import { cacheGraph, cacheGraphNames } from '../models/cache-graphs.ts';
import type { FluxConfig } from '../models/flux-config.ts';
import { bandedWeights, narrowestInBands, transformerBytes, waitsFor } from '../models/flux-memory.ts';
import {
  type BlockSegment,
  blockSegments,
  lastNumber,
  segmentBuilder,
  segmentNames,
} from '../models/flux-segments.ts';
import { sinusoid } from '../nn/embedding.ts';
import { referenceName } from '../nn/kept-references.ts';
import { rotaryTable } from '../nn/rope.ts';
import { DeviceFeeds } from '../onnx/device-feeds.ts';
import { Session, type SessionOptions } from '../onnx/session.ts';
import { type Feeds, f32Tensor, floats, type Tensor, tensor } from '../onnx/tensor.ts';
import { joinFloats } from '../weights/floats.ts';
import type { Compute, ImagePromptPlace, UpdateForms } from '../weights/weights.ts';
import type { CachedPass, CacheSessions } from './cached-pass.ts';
import { type Builders, compile, type LoadOptions, releaseAll } from './compile.ts';
import type { Component } from './components.ts';
import { checkFinite } from './finite.ts';
import type { KeptReferences, Reuse } from './kept-references.ts';
import type { Loadable, Loading } from './loadable.ts';
import {
  computeOf,
  networkKey,
  type OpenedModel,
  preparedFile,
  smallerWeights,
  weightBytes,
} from './opened-model.ts';
import { packedBytes } from './precision.ts';
import { formsText } from './update-forms.ts';

/** Inputs of one pass that stay the same over its steps. */
export type Conditioning = {
  /** T5's tokens [T, contextIn] and CLIP's pooled vector [1, vecIn]. */
  context: Tensor;
  pooled: Tensor;
  /** Packed reference latents [R, inChannels], one after the other; empty for text-to-image. */
  references: Float32Array;
  /** Positions of text, target and reference tokens [T + L + R, 3]. */
  ids: Float32Array;
  /** Input of the guidance sinusoid: 1000·guidance, rounded as the plan says. */
  guidance: number;
  /** Keys and values of IP-Adapters, by the inputs of nn/image-prompt.ts. */
  imagePrompt?: Feeds | undefined;
};

/** The target's noisy tokens [L, inChannels], and 1000·sigma. */
export type Sample = { x: Float32Array; time: number };

/** One pass's step cache and kept references, and the step under way. */
export type Cached = { pass?: CachedPass | undefined; references?: KeptReferences | undefined; step: number };

export type Acting = {
  /** LoRAs of this evaluation (nn/lora.ts). A step cache takes another object for another network. */
  updates?: Feeds;
  cached?: Cached | undefined;
  /** Awaited before each segment runs, with the number of blocks computed so far. */
  onBlocks?: ((done: number) => Promise<void>) | undefined;
};

const noUpdates: Feeds = {};

/** Outputs of the embeddings: the vector of time, guidance and text, both streams, the first block's modulation. */
type Embedded = { vec: Tensor; img: Tensor; txt: Tensor; img_mod: Tensor };

type Place = StepCache['after'];

/** Tokens of the blocks: text and target (`own`) and, unless kept ones are reused, references. */
type BlocksUse = {
  ids: Float32Array;
  own: number;
  reuse: Reuse | undefined;
  imagePrompt: Feeds | undefined;
};

/** `rows` of the image's tokens are the target's. */
type Look = Cached & { network: Feeds; rows: number };

/** Everything that a plan changes about the transformer it needs. */
export type TransformerUse = {
  /** Text, target and references together. */
  tokens: number;
  forms: UpdateForms;
  places: readonly ImagePromptPlace[];
  /** Tokens of the guide images of all IP-Adapters. */
  imagePromptTokens: number;
  /** Bytes of the LoRAs' updates that an evaluation is fed. */
  updateBytes: number;
  /** Passes of an evaluation that a step cache keeps tensors for. */
  cachedPasses: number;
  /** Keys and values of so many reference tokens are kept from step to step, all passes together. */
  keptReferences: number;
  /** Compiled so that they can be kept. */
  keepsReferences: boolean;
};

export function transformer(model: OpenedModel, use: TransformerUse): Loadable<Transformer> {
  const { components, session } = model;
  const { source, config } = components.transformer;
  const { forms, places, keepsReferences } = use;
  const placesText = places.length > 0 ? ` with guides (${places.join(', ')})` : '';
  const keptText = keepsReferences ? ' with kept references' : '';
  const most = mostTokens(model, use);
  const compute = {
    ...computeOf(model, 'transformer', most),
    ...bandsOf(model),
    ...{ forms, places, keepsReferences },
  };
  const isStandard = most === model.attention.transformer.tokens || compute.fused;
  const sizeText = isStandard ? '' : ` for ${most} tokens`;
  // On a GPU the updates are copied to its memory.
  const copies = session.device === 'cpu' ? 0 : use.updateBytes;
  const work = transformerBytes(config, compute, { ...use, device: session.device }) + copies;
  const arena = compute.bandRows === undefined;
  // Every segment with blocks has an arena of its own, which keeps what it grew to.
  const arenas = blockSegments(config).length;
  const unpacked = compute.expands ? packedBytes * bandedWeights(config) : 0;
  const kept = arena && session.device === 'cpu' ? arenas * work : 0;
  return {
    key: networkKey(model, `transformer${formsText(forms)}${placesText}${keptText}${sizeText}`),
    need: { bytes: weightBytes(model, source) - unpacked, working: Math.max(work, kept), kept },
    smaller: smallerWeights(model),
    load: () =>
      Transformer.load(components.transformer, compute, {
        ...session,
        // With bands few allocations are large, and without an arena a step costs as much and leaves no memory behind.
        arena,
        preparedFile: preparedFile(model, 'transformer'),
      }),
  };
}

/**
 * Rows of a band: the MLP's activations of one, 256·12,288 floats in FLUX.1, stay below the 16 MiB from which malloc returns
 * memory to the system at every free (child-environment.ts), and the products are as fast as those of all rows.
 */
const bandRows = 256;

/**
 * Blocks of a segment where a block takes seconds: an edit of one megapixel by FLUX.1 about ten on two cores. Each session has
 * threads of its own, so a machine with more cores, where a block takes less time, has fewer segments.
 */
function mostBlocks({ bandRows, waits }: Compute, threads: number): number {
  if (waits) return 1;
  return bandRows === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(threads / 2));
}

/**
 * Bands are measured on the CPU only; a GPU's memory is managed by its own allocator. Weights that are widened would be widened for
 * every band.
 */
function bandsOf({
  components,
  compute,
  session,
  test,
}: OpenedModel): Pick<Compute, 'bandRows' | 'expands' | 'waits'> {
  const { precision } = compute;
  const { config } = components.transformer;
  if (waitsFor(session.device, config)) return { waits: true };
  if (session.device !== 'cpu' || config.hidden < narrowestInBands || precision === 'f16') return {};
  return { bandRows, expands: precision === 'int4' && test.passed.includes('expanded') };
}

/**
 * The tokens that attention in plain operators is cut into blocks for: those of an edit of one megapixel with one
 * reference, and multiples of it where more are used, so that few sizes compile another graph.
 */
function mostTokens({ attention }: OpenedModel, { tokens }: TransformerUse): number {
  const standard = attention.transformer.tokens;
  return standard * Math.max(1, Math.ceil(tokens / standard));
}

export class Transformer {
  readonly config: FluxConfig;
  /** For messages. */
  private readonly name: string;
  private readonly segments: Record<string, Session>;
  private readonly blockSegments: readonly BlockSegment[];
  private readonly options: SessionOptions;
  private cacheSegments: Promise<CacheSessions> | undefined;
  private readonly deviceFeeds: DeviceFeeds;
  private rotary: { ids: Float32Array; cos: Tensor; sin: Tensor } | undefined;

  private constructor(
    { source, config }: Component<FluxConfig>,
    segments: Record<string, Session>,
    blocks: readonly BlockSegment[],
    options: SessionOptions,
  ) {
    this.config = config;
    this.blockSegments = blocks;
    this.name = `the transformer ${source.checkpoint.path}`;
    this.segments = segments;
    this.options = options;
    this.deviceFeeds = new DeviceFeeds(options);
  }

  /** See `compile`. */
  static async *load(
    { source, config }: Component<FluxConfig>,
    compute: Compute,
    options: LoadOptions,
  ): Loading<Transformer> {
    const { device, threads } = options;
    const most = mostBlocks(compute, threads);
    const build = segmentBuilder(source, config, most);
    const graphs: Builders<string> = {};
    for (const name of segmentNames(config, most))
      graphs[name] = {
        build: (compute, prepared) => build(name, compute, prepared),
        results: name === 'final' ? 'host' : 'device',
      };
    const segments = yield* compile({ name: 'transformer', source, graphs, compute, options });
    return new Transformer({ source, config }, segments, blockSegments(config, most), { device, threads });
  }

  /**
   * The velocity of the target's tokens, [L, outChannels].
   *
   * @throws RetouchError `outputNotFinite`
   */
  async velocity(
    { x, time }: Sample,
    given: Conditioning,
    { updates = noUpdates, cached, onBlocks }: Acting = {},
  ): Promise<Float32Array> {
    const { inChannels, guidance } = this.config;
    const rows = x.length / inChannels;
    const { references } = given;
    // Text and target come before the references.
    const own = (given.ids.length - (references.length / inChannels) * 3) / 3;
    const reuse = cached?.references?.begin(cached.step, updates, { ids: given.ids, own });
    const latents = reuse ? x : joinFloats([x, references]);
    const loras = await this.deviceFeeds.place(updates);
    const embedded = await this.segments.embed!.run(loras, {
      latents: f32Tensor(latents, [latents.length / inChannels, inChannels]),
      context: given.context,
      y: given.pooled,
      t: f32Tensor(sinusoid(time), [1, 256]),
      ...(guidance ? { g: f32Tensor(sinusoid(given.guidance), [1, 256]) } : {}),
    });
    const look = cached && { ...cached, network: updates, rows };
    const { imagePrompt } = given;
    const use = { ids: reuse?.ids ?? given.ids, own, reuse, imagePrompt };
    const img = await this.runBlocks(embedded as Embedded, use, { loras, look, onBlocks });
    const { velocity } = await this.segments.final!.run(loras, {
      img_in: img,
      vec: embedded.vec!,
      rows: tensor('i64', BigInt64Array.of(BigInt(rows)), [1]),
    });
    for (const value of [img, embedded.vec!, embedded.img_mod!]) value.dispose?.();
    return checkFinite(floats(velocity!), 'The velocity', this.name);
  }

  /** Graphs that a step cache runs in addition to the network; compiled on first use. */
  async cacheSessions(): Promise<CacheSessions> {
    this.cacheSegments ??= compileCacheGraphs(this.config, this.options);
    return this.cacheSegments;
  }

  async release(): Promise<void> {
    await this.deviceFeeds.release();
    await releaseAll(this.segments);
    if (this.cacheSegments) await releaseAll(await this.cacheSegments);
  }

  /** The image's tokens [L + R, D] after the last block, or the step cache's estimate of them. */
  private async runBlocks(
    { vec, img: start, txt, img_mod }: Embedded,
    { ids, own, reuse, imagePrompt = {} }: BlocksUse,
    { loras, look, onBlocks }: { loras: Feeds; look: Look | undefined; onBlocks: Acting['onBlocks'] },
  ): Promise<Tensor> {
    const { cos, sin } = this.rotaryOf(ids);
    const pass = look?.pass;
    const looksAfter = pass && this.placeOf(pass.cache.after);
    const kept = reuse?.feeds ?? {
      ...(look?.references && { [referenceName.from]: tensor('i64', BigInt64Array.of(BigInt(own)), [1]) }),
    };
    let [img, after, entry] = [start, 'nothing' as Place | undefined, undefined as Tensor | undefined];
    const textRows = tensor('i64', BigInt64Array.of(BigInt(txt.dims[0]!)), [1]);
    const spent = new Set<Tensor>([txt]);
    /** A step cache reads them again. */
    const held = new Set<Tensor>(pass ? [start] : []);
    let done = 0;
    for (const { name, blocks, ends } of this.blockSegments) {
      if (pass && after === looksAfter) {
        entry = await this.targetOf(img, look);
        const { step, network } = look;
        const from = start === img ? entry : await this.targetOf(start, look);
        for (const value of [start, from]) spent.add(value);
        held.clear();
        held.add(entry);
        const reused = await pass.reuse(step, { start: from, img: entry, imgMod: img_mod, network });
        if (reused) {
          disposeAll(spent.add(img).add(entry));
          return reused;
        }
      }
      const feeds = { img_in: img, txt_in: txt, x_in: img, text_rows: textRows, vec, cos, sin, img_mod };
      await onBlocks?.(done);
      const out = await this.segments[name]!.run(loras, imagePrompt, kept, feeds);
      out[lastNumber]?.dispose?.();
      if (!reuse) look?.references?.keep(out);
      done += blocks;
      disposeAll(spent.add(img), held);
      // Single blocks have the rows of text and image in one matrix.
      img = (out.img ?? out.x)!;
      txt = out.txt ?? txt;
      if (out.txt) spent.add(txt);
      after = ends;
    }
    look?.references?.complete(look.step, reuse !== undefined);
    if (pass && entry) {
      const out = await this.targetOf(img, look);
      await pass.keep(entry, out);
      spent.add(entry);
      if (out !== img) spent.add(out);
    }
    disposeAll(spent);
    return img;
  }

  /**
   * The rows that a step cache compares. With kept references some steps have no rows of references, so it looks at the
   * target's alone.
   */
  private async targetOf(img: Tensor, look: Look): Promise<Tensor> {
    if (!look.references || img.dims[0] === look.rows) return img;
    const rows = tensor('i64', BigInt64Array.of(BigInt(look.rows)), [1]);
    const { target } = await this.cacheSessions();
    return (await target.run({ a: img, rows })).out!;
  }

  /** A model whose head is its first block has no segment `head`. */
  private placeOf(after: Place): Place {
    return this.blockSegments.some(({ ends }) => ends === after) || after === 'nothing' ? after : 'first';
  }

  /** Every step and both passes ask for the table of the same positions. */
  private rotaryOf(ids: Float32Array): { cos: Tensor; sin: Tensor } {
    if (this.rotary?.ids === ids) return this.rotary;
    const { axes, theta, hidden, heads } = this.config;
    const { cos, sin } = rotaryTable(ids, axes, theta);
    const shape = [ids.length / axes.length, hidden / heads / 2];
    this.rotary = { ids, cos: f32Tensor(cos, shape), sin: f32Tensor(sin, shape) };
    return this.rotary;
  }
}

async function compileCacheGraphs(config: FluxConfig, options: SessionOptions): Promise<CacheSessions> {
  const sessions = {} as CacheSessions;
  for (const name of cacheGraphNames)
    sessions[name] = await Session.compile(cacheGraph(name, config), {
      ...options,
      results: name === 'distance' ? 'host' : 'device',
    });
  return sessions;
}

/** Takes the disposed tensors out of the set; those to be kept stay in it. */
function disposeAll(tensors: Set<Tensor>, kept: ReadonlySet<Tensor> = new Set()): void {
  for (const value of tensors) {
    if (kept.has(value)) continue;
    value.dispose?.();
    tensors.delete(value);
  }
}
