/**
 * A FLUX transformer ready to run: its segments compiled for a device, its weights loaded once.
 */
import type { FluxConfig } from './models/flux-config.ts';
import { type SegmentName, segmentBuilder, segmentNames } from './models/flux-segments.ts';
import { sinusoid } from './nn/embedding.ts';
import { rotaryTable } from './nn/rope.ts';
import { f32Tensor, floats, Session, type SessionOptions, type Tensor, tensor } from './onnx/session.ts';
import { openQuantized, type QuantizedWeights } from './weights/quantized.ts';
import type { WeightSource } from './weights/source.ts';
import type { Compute } from './weights/weights.ts';

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
};

export type Progress = { message: string; fraction: number };

export class Transformer {
  readonly config: FluxConfig;
  private readonly segments: ReadonlyMap<SegmentName, Session>;
  private rotary: { ids: Float32Array; cos: Tensor; sin: Tensor } | undefined;

  private constructor(config: FluxConfig, segments: ReadonlyMap<SegmentName, Session>) {
    this.config = config;
    this.segments = segments;
  }

  /**
   * Compiles the segments, making the eight-bit weights first if they are asked for and not cached in `cacheFile`.
   * Yields progress between segments, where it may be stopped.
   */
  static async *load(
    source: WeightSource,
    config: FluxConfig,
    compute: Compute,
    options: SessionOptions,
    cacheFile: string,
  ): AsyncGenerator<Progress, Transformer> {
    const build = segmentBuilder(source, config);
    const names = segmentNames(config);
    const int8 = compute.product === 'int8' ? yield* quantized(source, names, build, cacheFile) : undefined;
    const segments = new Map<SegmentName, Session>();
    try {
      for (const [i, name] of names.entries()) {
        yield { message: `loading transformer (${name})`, fraction: i / names.length };
        const results = name === 'final' ? 'host' : 'device';
        segments.set(name, await Session.compile(build(name, compute, int8), { ...options, results }));
      }
    } catch (error) {
      for (const session of segments.values()) await session.release();
      throw error;
    }
    return new Transformer(config, segments);
  }

  /** The velocity of the target's tokens: x [L, inChannels] gives [L, outChannels]; `time` is 1000·sigma. */
  async velocity(x: Float32Array, time: number, given: Conditioning): Promise<Float32Array> {
    const { inChannels, guidance } = this.config;
    const rows = x.length / inChannels;
    const latents = concatFloats(x, given.references);
    const { cos, sin } = this.rotaryOf(given.ids);
    const embedded = await this.run('embed', {
      latents: f32Tensor(latents, [latents.length / inChannels, inChannels]),
      context: given.context,
      y: given.pooled,
      t: f32Tensor(sinusoid(time), [1, 256]),
      ...(guidance ? { g: f32Tensor(sinusoid(given.guidance), [1, 256]) } : {}),
    });
    const vec = embedded.vec!;
    let stream = { img: embedded.img!, txt: embedded.txt! };
    for (const name of ['first', 'head', 'rest'] as const) {
      if (!this.segments.has(name)) continue;
      const { img, txt } = await this.run(name, { img_in: stream.img, txt_in: stream.txt, vec, cos, sin });
      stream.img.dispose();
      if (txt) stream.txt.dispose();
      stream = { img: img!, txt: txt ?? stream.txt };
    }
    const { velocity } = await this.run('final', {
      img_in: stream.img,
      vec,
      rows: tensor('i64', BigInt64Array.of(BigInt(rows)), [1]),
    });
    for (const value of [stream.img, stream.txt, vec]) value.dispose();
    return floats(velocity!);
  }

  async release(): Promise<void> {
    for (const session of this.segments.values()) await session.release();
  }

  private run(name: SegmentName, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
    return this.segments.get(name)!.run(feeds);
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

/** Which layers are linears is known once the graphs are built, so they are built in f32 first: that costs no weights. */
async function* quantized(
  source: WeightSource,
  names: readonly SegmentName[],
  build: ReturnType<typeof segmentBuilder>,
  cacheFile: string,
): AsyncGenerator<Progress, QuantizedWeights> {
  const slots = names.flatMap((name) => build(name, { product: 'f32', fused: true }).loraSlots);
  const making = openQuantized(
    source,
    slots.filter((slot) => !slot.precise),
    cacheFile,
  );
  for (;;) {
    const next = making.next();
    if (next.done) return next.value;
    yield { message: 'quantising transformer to int8', fraction: next.value };
  }
}

function concatFloats(a: Float32Array, b: Float32Array): Float32Array {
  if (b.length === 0) return a;
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
