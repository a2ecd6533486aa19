/** Runs the decoder of models/autoencoder-bands.ts. */
import { type BandLayer, decoderInBands } from '../models/autoencoder-bands.ts';
import type { AutoencoderConfig } from '../models/autoencoder-config.ts';
import { Session, type SessionOptions } from '../onnx/session.ts';
import { type Feeds, f32Tensor, floats, type Tensor } from '../onnx/tensor.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import { BandedImage } from './banded-image.ts';

export type BandsOptions = {
  source: WeightSource;
  config: AutoencoderConfig;
  compute: Compute;
  session: SessionOptions;
};

/**
 * The image [3, H, W] of a latent [1, z, h, w]. Yields the share of the work that is done, after every band of a layer. A
 * layer is compiled when its turn comes and released after it, so that one layer's weights are in memory.
 *
 * @param rows of the latent in a band, the last of which may have fewer
 */
export async function* decodeInBands(
  latent: Tensor,
  { source, config, compute, session }: BandsOptions,
  rows: number,
): AsyncGenerator<number, Float32Array> {
  const { start, layers } = decoderInBands(config);
  const [, , h, w] = latent.dims as [number, number, number, number];
  const done = shares([start.work(h * w), ...workOf(layers, h * w)]);
  const whole = await Session.compile(start.build(source, compute), session);
  const first = await whole.run({ latent }).finally(() => whole.release());
  const shape = { channels: layers[0]!.inputs, width: w, heights: heightsOf(h, rows) };
  let images: Images = { x: BandedImage.of(floats(first.out!), shape) };
  images.x.moments.add({ means: first.means!, squares: first.squares! });
  try {
    yield done[0]!;
    for (const [i, layer] of layers.entries()) {
      const running = await Session.compile(layer.build(source, compute), session);
      const share = { from: done[i]!, to: done[i + 1]! };
      try {
        images = yield* runLayer(running, { layer, share, groups: config.groups }, images);
      } finally {
        await running.release();
      }
    }
    return images.x.joined();
  } finally {
    images.x.free();
    images.skip?.free();
  }
}

/** The images between two layers: the next one's input, and inside a block its shortcut. */
type Images = { x: BandedImage; skip?: BandedImage | undefined };

type Turn = { layer: BandLayer; share: { from: number; to: number }; groups: number };

/** Bands are freed as soon as no other band needs them. */
async function* runLayer(
  session: Session,
  { layer, share: { from, to }, groups }: Turn,
  { x, skip }: Images,
): AsyncGenerator<number, Images> {
  const { width, heights } = x.shape;
  const grown = { width: layer.growth * width, heights: heights.map((rows) => layer.growth * rows) };
  const out = new BandedImage({ channels: layer.outputs, ...grown });
  const shortcut = layer.skip === 'computes' ? new BandedImage(out.shape) : undefined;
  const norm = layer.normed ? x.moments.statistics(groups) : {};
  let complete = false;
  try {
    for (let i = 0; i < heights.length; i++) {
      const moments = layer.measured ? out.moments.room(out.shape.heights[i]!) : undefined;
      const results = { out: out.band(i), ...(shortcut ? { skip: shortcut.band(i) } : {}), ...moments };
      const added = layer.skip === 'adds' ? { skip: skip!.band(i) } : {};
      await session.runInto(results, norm, added, bandAndNeighbours(x, i));
      if (moments) out.moments.add(moments);
      if (layer.skip !== 'keeps') x.free(i);
      if (layer.skip === 'adds') skip!.free(i + 1);
      yield from + ((to - from) * (i + 1)) / heights.length;
    }
    complete = true;
  } finally {
    if (!complete) for (const image of [out, shortcut]) image?.free();
  }
  if (layer.skip === 'keeps') return { x: out, skip: x };
  x.free();
  return { x: out, skip: shortcut };
}

const [no, yes] = [0, 1].map((value) => f32Tensor(Float32Array.of(value), [1])) as [Tensor, Tensor];

/** At the ends of the image the band itself stands for the missing one, whose row counts for nothing. */
function bandAndNeighbours(x: BandedImage, i: number): Feeds {
  const [hasAbove, hasBelow] = [i > 0, i < x.bands - 1];
  const band = x.band(i);
  return {
    band,
    above: hasAbove ? x.band(i - 1) : band,
    below: hasBelow ? x.band(i + 1) : band,
    hasAbove: hasAbove ? yes : no,
    hasBelow: hasBelow ? yes : no,
  };
}

/** Operations of every layer for a latent of so many positions. */
function workOf(layers: readonly BandLayer[], positions: number): number[] {
  let here = positions;
  return layers.map(({ work, growth }) => {
    const layerWork = work * here;
    here *= growth ** 2;
    return layerWork;
  });
}

/** The share of all that is done after every part. */
function shares(work: readonly number[]): number[] {
  const total = work.reduce((sum, part) => sum + part, 0);
  let done = 0;
  return work.map((part) => {
    done += part;
    return done / total;
  });
}

function heightsOf(height: number, rows: number): number[] {
  const bands = Math.ceil(height / rows);
  return Array.from({ length: bands }, (_, i) => Math.min(rows, height - i * rows));
}
