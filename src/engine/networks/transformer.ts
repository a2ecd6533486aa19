/**
 * A FLUX transformer ready to run: its segments compiled for a device, its weights loaded once.
 */
import type { StepCache } from '../caches/index.ts';
import { cacheGraph, cacheGraphNames } from '../models/cache-graphs.ts';
import type { FluxConfig } from '../models/flux-config.ts';
import { type SegmentName, segmentBuilder, segmentNames } from '../models/flux-segments.ts';
import { sinusoid } from '../nn/embedding.ts';
import { rotaryTable } from '../nn/rope.ts';
import { DeviceFeeds } from '../onnx/device-feeds.ts';
import { Session, type SessionOptions } from '../onnx/session.ts';
import { type Feeds, f32Tensor, floats, type Tensor, tensor } from '../onnx/tensor.ts';
import { joinFloats } from '../weights/floats.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import type { CachedPass, CacheSessions } from './cached-pass.ts';
import { type Builders, compile, type Progress, releaseAll } from './compile.ts';
import { checkFinite } from './finite.ts';

/** What stays the same over the steps of one pass. */
export type Conditioning = {
  /** T5's tokens [T, contextIn] and CLIP's pooled vector [1, vecIn]. */
  context: Tensor;
  pooled: Tensor;
  /** Packed reference latents [R, inChannels], one after the other; empty for text-to-image. */
  references: Float32Array;
  /** Positions of text, target and reference tokens [T + L + R, 3]. */
  ids: Float32Array;
  /** What the guidance sinusoid is fed: 1000·guidance, rounded as the plan says. */
  guidance: number;
  /** Keys and values of IP-Adapters, by the inputs of nn/image-prompt.ts. */
  imagePrompt?: Feeds | undefined;
};

/** The target's noisy tokens [L, inChannels], and 1000·sigma. */
export type Sample = { x: Float32Array; time: number };

/** One pass's step cache, and the step under way. */
export type Cached = { pass: CachedPass; step: number };

export type Acting = {
  /** LoRAs of this evaluation (nn/lora.ts). A step cache takes another object for another network. */
  updates?: Feeds;
  cached?: Cached | undefined;
};

const noUpdates: Feeds = {};

/** What the embeddings give: the vector of time, guidance and text, both streams, the first block's modulation. */
type Embedded = { vec: Tensor; img: Tensor; txt: Tensor; img_mod: Tensor };

type Place = StepCache['after'];

export class Transformer {
  readonly config: FluxConfig;
  /** For messages. */
  private readonly name: string;
  private readonly segments: Partial<Record<SegmentName, Session>>;
  private readonly options: SessionOptions;
  private cacheSegments: Promise<CacheSessions> | undefined;
  private readonly deviceFeeds: DeviceFeeds;
  private rotary: { ids: Float32Array; cos: Tensor; sin: Tensor } | undefined;

  private constructor(
    { source, config }: { source: WeightSource; config: FluxConfig },
    segments: Partial<Record<SegmentName, Session>>,
    options: SessionOptions,
  ) {
    this.config = config;
    this.name = `the transformer ${source.checkpoint.path}`;
    this.segments = segments;
    this.options = options;
    this.deviceFeeds = new DeviceFeeds(options);
  }

  /**
   * Bytes of the largest activations alive at once: a single block's, the scores of the guide pictures' tokens, and all
   * others where attention is not fused.
   */
  static workingBytes(
    { hidden, heads, mlp }: FluxConfig,
    tokens: number,
    { fused }: Compute,
    guideTokens = 0,
  ): number {
    const stream = tokens * (12 * hidden + 3 * mlp);
    const scores = 2 * heads * tokens * (guideTokens + (fused ? 0 : tokens));
    return 4 * (stream + scores);
  }

  /** See `compile`. */
  static async *load(
    { source, config }: { source: WeightSource; config: FluxConfig },
    compute: Compute,
    options: SessionOptions,
    cacheFile: string,
  ): AsyncGenerator<Progress, Transformer> {
    const build = segmentBuilder(source, config);
    const builders: Partial<Builders<SegmentName>> = {};
    for (const name of segmentNames(config))
      builders[name] = {
        build: (compute, prepared) => build(name, compute, prepared),
        results: name === 'final' ? 'host' : 'device',
      };
    const all = builders as Builders<SegmentName>;
    const segments = yield* compile('transformer', source, all, compute, options, cacheFile);
    return new Transformer({ source, config }, segments, options);
  }

  /**
   * The velocity of the target's tokens, [L, outChannels].
   *
   * @throws RetouchError `outputNotFinite`
   */
  async velocity(
    { x, time }: Sample,
    given: Conditioning,
    { updates = noUpdates, cached }: Acting = {},
  ): Promise<Float32Array> {
    const { inChannels, guidance } = this.config;
    const rows = x.length / inChannels;
    const latents = joinFloats([x, given.references]);
    const loras = await this.deviceFeeds.place(updates);
    const embedded = await this.segments.embed!.run(loras, {
      latents: f32Tensor(latents, [latents.length / inChannels, inChannels]),
      context: given.context,
      y: given.pooled,
      t: f32Tensor(sinusoid(time), [1, 256]),
      ...(guidance ? { g: f32Tensor(sinusoid(given.guidance), [1, 256]) } : {}),
    });
    const look = cached && { ...cached, network: updates };
    const img = await this.runBlocks(embedded as Embedded, given, { loras, look });
    const { velocity } = await this.segments.final!.run(loras, {
      img_in: img,
      vec: embedded.vec!,
      rows: tensor('i64', BigInt64Array.of(BigInt(rows)), [1]),
    });
    for (const value of [img, embedded.vec!, embedded.img_mod!]) value.dispose?.();
    return checkFinite(floats(velocity!), 'The velocity', this.name);
  }

  /** What a step cache runs beside the network; compiled when first asked for. */
  async cacheSessions(): Promise<CacheSessions> {
    this.cacheSegments ??= compileCacheGraphs(this.config, this.options);
    return this.cacheSegments;
  }

  async release(): Promise<void> {
    await this.deviceFeeds.release();
    await releaseAll(this.segments);
    if (this.cacheSegments) await releaseAll(await this.cacheSegments);
  }

  /** The picture's tokens [L + R, D] after the last block, or what a step cache has in their place. */
  private async runBlocks(
    { vec, img: start, txt, img_mod }: Embedded,
    { ids, imagePrompt = {} }: Conditioning,
    { loras, look }: { loras: Feeds; look: (Cached & { network: Feeds }) | undefined },
  ): Promise<Tensor> {
    const { cos, sin } = this.rotaryOf(ids);
    const looksAfter = look && this.placeOf(look.pass.cache.after);
    let [img, after, entry] = [start, 'nothing' as Place, undefined as Tensor | undefined];
    const spent = new Set<Tensor>([txt]);
    for (const name of ['first', 'head', 'rest'] as const) {
      const segment = this.segments[name];
      if (!segment) continue;
      if (look && after === looksAfter) {
        entry = img;
        const { pass, step, network } = look;
        const reused = await pass.reuse(step, { start, img, imgMod: img_mod, network });
        if (reused) {
          disposeAll(spent.add(start).add(img));
          return reused;
        }
      }
      const feeds = { img_in: img, txt_in: txt, vec, cos, sin, ...(name === 'first' ? { img_mod } : {}) };
      const out = await segment.run(loras, imagePrompt, feeds);
      spent.add(img);
      // A cache reads them again; nothing else does.
      if (!look) disposeAll(spent);
      img = out.img!;
      txt = out.txt ?? txt;
      if (out.txt) spent.add(txt);
      after = name === 'rest' ? after : name;
    }
    if (entry) await look?.pass.keep(entry, img);
    disposeAll(spent);
    return img;
  }

  /** A model whose head is its first block has no segment of that name. */
  private placeOf(after: Place): Place {
    return after === 'head' && !this.segments.head ? 'first' : after;
  }

  /** The table of one list of positions is asked for on every step and both passes. */
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

function disposeAll(tensors: Set<Tensor>): void {
  for (const value of tensors) value.dispose?.();
  tensors.clear();
}
