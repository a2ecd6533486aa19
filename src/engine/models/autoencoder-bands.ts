/**
 * The decoder of autoencoder.ts as a list of graphs, each one layer over one band of an image's rows. A layer is run for all
 * bands of the image before the next layer begins, so that little more than a layer's input and its result is in memory, and
 * the work can be reported on and stopped between any two bands. Convolutions are in the graph itself, since ONNX Runtime
 * computes those in the body of a loop as matrix products, on one thread and half as fast as in its blocked layout.
 */
import { bandConv, conv, upsampleBandConv } from '../nn/conv.ts';
import { type GroupStatistics, normalize, rowMoments } from '../nn/group-norm.ts';
import { symbol } from '../onnx/dim.ts';
import type { Graph, Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute, Weights } from '../weights/weights.ts';
import { decoderStart, open } from './autoencoder.ts';
import { type AutoencoderConfig, growth } from './autoencoder-config.ts';

type Build = (source: WeightSource, compute: Compute) => Graph;

/**
 * One layer over a band. Inputs: `band` [1, inputs, R, W], the bands `above` and `below` it, of which one row each is read,
 * and `hasAbove` and `hasBelow` [1], 0 at the ends of the image and else 1. Result: `out` [1, outputs, growth·R, growth·W].
 */
export type BandLayer = {
  name: string;
  build: Build;
  inputs: number;
  outputs: number;
  /** How many times higher and wider the result is. */
  growth: number;
  /** The input is normalised: `mean` and `deviation` of its groups [1, inputs, 1, 1] are inputs. */
  normed: boolean;
  /** The next layer normalises the result, whose `means` and `squares` (`rowMoments`) are results. */
  measured: boolean;
  /**
   * A block's shortcut: its first layer `keeps` the block's input or `computes` a `skip` [1, outputs, R, W] of it, and its
   * second layer `adds` that as an input `skip`.
   */
  skip: 'none' | 'keeps' | 'computes' | 'adds';
  /** Operations for a position of the input; a multiplication and an addition are two. */
  work: number;
};

export type DecoderInBands = {
  /** `latent` [1, z, h, w] to `out` [1, C, h, w], its `means` and `squares`, whole: its attention needs all rows. */
  start: { build: Build; work: (positions: number) => number };
  layers: readonly BandLayer[];
};

export function decoderInBands(config: AutoencoderConfig): DecoderInBands {
  const { decoderChannels: channels, decoderBlocks } = config;
  const layers: BandLayer[] = [];
  let width = channels.at(-1)!;
  for (let i = channels.length - 1; i >= 0; i--) {
    const outputs = channels[i]!;
    for (let j = 0; j < decoderBlocks; j++) {
      const isLast = j === decoderBlocks - 1 && i > 0;
      layers.push(...block(`decoder.up.${i}.block.${j}`, { inputs: width, outputs, measured: !isLast }));
      width = outputs;
    }
    if (i === 0) break;
    layers.push(enlarging(`decoder.up.${i}.upsample.conv`, width, channels[i - 1]!, config));
    width = layers.at(-1)!.outputs;
  }
  layers.push(last(width, config));
  const top = channels.at(-1)!;
  const start = {
    build: startGraph(config),
    work: (positions: number) => positions * (4 * convWork(top, top) + 8 * top * top + 4 * positions * top),
  };
  return { start, layers };
}

type Widths = { inputs: number; outputs: number; measured: boolean };

/** A residual block's two convolutions. */
function block(name: string, { inputs, outputs, measured }: Widths): BandLayer[] {
  const widens = inputs !== outputs;
  const first = layerGraph(
    `${name}.conv1`,
    inputs,
    ({ band, rows, w }) => ({
      out: bandConv(rows(w.at(`${name}.norm1`)), w.at(`${name}.conv1`), outputs),
      ...(widens ? { skip: conv(band, w.at(`${name}.nin_shortcut`), outputs, { kernel: 1 }) } : {}),
    }),
    true,
  );
  const second = layerGraph(
    `${name}.conv2`,
    outputs,
    ({ rows, w, graph }) => {
      const skip = graph.input('skip', 'f32', [1, outputs, symbol('rows'), symbol('w')]);
      return { out: op.add(skip, bandConv(rows(w.at(`${name}.norm2`)), w.at(`${name}.conv2`), outputs)) };
    },
    measured,
  );
  const shortcut = widens ? 2 * inputs * outputs : 0;
  return [
    {
      name: `${name}.conv1`,
      build: first,
      inputs,
      outputs,
      growth: 1,
      normed: true,
      measured: true,
      skip: widens ? 'computes' : 'keeps',
      work: convWork(inputs, outputs) + shortcut,
    },
    {
      name: `${name}.conv2`,
      build: second,
      inputs: outputs,
      outputs,
      growth: 1,
      normed: true,
      measured,
      skip: 'adds',
      work: convWork(outputs, outputs),
    },
  ];
}

/** To the next finer level: nearest neighbours and a convolution, or a convolution and a pixel_shuffle. */
function enlarging(name: string, inputs: number, finer: number, config: AutoencoderConfig): BandLayer {
  const { upsample } = config;
  const factor = growth(config);
  const outputs = upsample === 'nearest' ? inputs : finer;
  const build = layerGraph(
    name,
    inputs,
    ({ rows, w }) => {
      if (upsample === 'nearest') return { out: upsampleBandConv(rows(), w.at(name)) };
      return { out: op.pixelShuffle(bandConv(rows(), w.at(name), finer * factor ** 2), factor) };
    },
    true,
  );
  return {
    name,
    build,
    inputs,
    outputs,
    growth: factor,
    normed: false,
    measured: true,
    skip: 'none',
    // `upsampleBandConv` sees 2×2 pixels.
    work: factor ** 2 * (upsample === 'nearest' ? 2 * 4 * inputs * outputs : convWork(inputs, outputs)),
  };
}

/** To the image, by a pixel_shuffle where a position is a square of pixels. */
function last(inputs: number, { imageChannels, decoderPatch }: AutoencoderConfig): BandLayer {
  const name = 'decoder.conv_out';
  const channels = imageChannels * decoderPatch ** 2;
  const build = layerGraph(name, inputs, ({ rows, w }) => {
    const squares = bandConv(rows(w.at('decoder.norm_out')), w.at(name), channels);
    return { out: decoderPatch === 1 ? squares : op.pixelShuffle(squares, decoderPatch) };
  });
  return {
    name,
    build,
    inputs,
    outputs: imageChannels,
    growth: decoderPatch,
    normed: true,
    measured: false,
    skip: 'none',
    work: convWork(inputs, channels),
  };
}

function convWork(inputs: number, outputs: number): number {
  return 2 * 9 * inputs * outputs;
}

type Layer = {
  graph: Graph;
  w: Weights;
  band: Var;
  /** The band with its neighbours' rows, [1, C, R + 2, W]: normalised and through SiLU, if there is a norm. */
  rows: (norm?: Weights) => Var;
};

function layerGraph(
  name: string,
  channels: number,
  compute: (layer: Layer) => { out: Var; skip?: Var },
  measured = false,
): Build {
  return (source, options) => {
    const { graph, w } = open(name, source, options);
    const image = (name: string, rows: string) =>
      graph.input(name, 'f32', [1, channels, symbol(rows), symbol('w')]);
    const band = image('band', 'rows');
    const results = compute({ graph, w, band, rows: (norm) => withNeighbours(band, image, norm) });
    graph.output('out', results.out);
    if (results.skip) graph.output('skip', results.skip);
    if (measured) outputMoments(graph, results.out);
    return graph;
  };
}

/** Rows beyond the image's ends are zeros, which is the padding of a convolution and comes after the norm. */
function withNeighbours(
  band: Var,
  image: (name: string, rows: string) => Var,
  norm: Weights | undefined,
): Var {
  const { graph } = band;
  const given = (name: string) => graph.input(name, 'f32', [1, band.dim(1), 1, 1]);
  const statistics: GroupStatistics | undefined = norm && {
    mean: given('mean'),
    deviation: given('deviation'),
  };
  const activate = (x: Var) => (norm && statistics ? op.silu(normalize(x, norm, statistics)) : x);
  const above = op.sliceAxis(image('above', 'rows above'), 2, -1);
  const below = op.sliceAxis(image('below', 'rows below'), 2, 0, 1);
  const inside = (row: Var, name: string) => op.mul(activate(row), graph.input(name, 'f32', [1]));
  return op.concat([inside(above, 'hasAbove'), activate(band), inside(below, 'hasBelow')], 2);
}

function startGraph(config: AutoencoderConfig): Build {
  return (source, compute) => {
    const { graph, w } = open('decoder.start', source, compute);
    const latent = graph.input('latent', 'f32', [1, config.latentChannels, symbol('h'), symbol('w')]);
    const out = decoderStart(latent, w, config);
    graph.output('out', out);
    outputMoments(graph, out);
    return graph;
  };
}

function outputMoments(graph: Graph, out: Var): void {
  const { means, squares } = rowMoments(out);
  graph.output('means', means);
  graph.output('squares', squares);
}
