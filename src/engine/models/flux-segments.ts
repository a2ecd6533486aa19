/**
 * The transformer compiled as a few graphs, cut where a step cache may enter (facts of First-Block Cache,
 * ParaAttention; DBCache, vipshop/cache-dit): embed · first · head · rest · final. Every block's weights are in
 * exactly one of them, so the cut costs nothing when no cache is used. A graph tells nothing while it runs and cannot be
 * stopped, so that of a wide model head and rest are cut further. The modulation of the first block's image is
 * computed with the embeddings: it is what TeaCache reads before any block runs.
 */
import { addDims, symbol } from '../onnx/dim.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { PreparedWeights } from '../weights/prepared.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import {
  conditioning,
  doubleBlock,
  embedImage,
  embedText,
  finalLayer,
  modulation,
  singleBlock,
} from './flux.ts';
import type { FluxConfig } from './flux-config.ts';

/** Double blocks 0 … headBlocks−1 are computed on every step by DBCache (F8 of cache-dit). */
const headBlocks = 8;

/** In a shallow model all double blocks are the head, as long as single blocks are left to be reused. */
function headOf({ depth, depthSingle }: FluxConfig): number {
  return Math.max(Math.min(headBlocks, depthSingle > 0 ? depth : depth - 1), 1);
}

const [img, txt] = [symbol('img'), symbol('txt')];

type Range = readonly [from: number, to: number];

/** Blocks of the model that are one graph. */
export type BlockSegment = {
  name: string;
  doubles: Range;
  singles: Range;
  /** How many they are. */
  blocks: number;
  /** Where a step cache may enter after it. */
  ends?: 'first' | 'head' | undefined;
};

/**
 * A model's blocks in segments of at most `most` blocks: `first`, `head` and `rest`, or their parts. A model with a single
 * block in its head has it in `first`.
 */
export function blockSegments(config: FluxConfig, most = Number.POSITIVE_INFINITY): BlockSegment[] {
  const { depth, depthSingle } = config;
  const cut = headOf(config);
  const none: Range = [0, 0];
  const doubles = (name: string, range: Range, ends?: 'first' | 'head') =>
    pieces(range, most).map((part, i, all) => ({
      name: all.length > 1 ? `${name} ${i + 1}` : name,
      ...{ doubles: part, singles: none, blocks: lengthOf(part) },
      ends: i === all.length - 1 ? ends : undefined,
    }));
  const rest: BlockSegment = {
    name: 'rest',
    ...{ doubles: [cut, depth], singles: [0, depthSingle], blocks: depth - cut + depthSingle },
  };
  const singles = pieces([0, depthSingle], most).map((part, i) => ({
    name: `single ${i + 1}`,
    ...{ doubles: none, singles: part, blocks: lengthOf(part) },
  }));
  return [
    ...doubles('first', [0, 1], 'first'),
    ...doubles('head', [1, cut], 'head'),
    ...(rest.blocks <= most ? [rest] : [...doubles('double', [cut, depth]), ...singles]),
  ];
}

/** A range in parts of at most `most`, as equal as they can be; none of an empty range. */
function pieces([from, to]: Range, most: number): Range[] {
  const count = Math.ceil((to - from) / Math.min(most, Math.max(to - from, 1)));
  const at = (i: number) => from + Math.round((i * (to - from)) / count);
  return Array.from({ length: count }, (_, i) => [at(i), at(i + 1)] as const);
}

function lengthOf([from, to]: Range): number {
  return to - from;
}

/** The name of a segment's output for the host (`Compute.waits`), [1, 1]. */
export const lastNumber = 'last_number';

export type SegmentBuilder = (name: string, compute: Compute, prepared?: PreparedWeights) => Graph;

/** All segments in the order in which they run. */
export function segmentNames(config: FluxConfig, most?: number): string[] {
  return ['embed', ...blockSegments(config, most).map(({ name }) => name), 'final'];
}

/** Builds the segments of `segmentNames`. */
export function segmentBuilder(source: WeightSource, config: FluxConfig, most?: number): SegmentBuilder {
  const segments = new Map(blockSegments(config, most).map((segment) => [segment.name, segment]));
  return (name, compute, prepared) => {
    const graph = new Graph(`flux.${name}`);
    const w = new Weights(graph, source, compute, prepared);
    if (name === 'embed') embed(graph, w, config);
    else if (name === 'final') final(graph, w, config);
    else blocks(graph, w, config, segments.get(name)!);
    return graph;
  };
}

function embed(graph: Graph, w: Weights, config: FluxConfig): void {
  const t = graph.input('t', 'f32', [1, 256]);
  const g = config.guidance ? graph.input('g', 'f32', [1, 256]) : undefined;
  const y = graph.input('y', 'f32', [1, config.vecIn]);
  const vec = conditioning(t, g, y, w, config);
  graph.output('vec', vec);
  graph.output('img_mod', modulation(vec, w.at('double_blocks.0.img_mod.lin'), 6, config));
  graph.output('img', embedImage(graph.input('latents', 'f32', [img, config.inChannels]), w, config));
  graph.output('txt', embedText(graph.input('context', 'f32', [txt, config.contextIn]), w, config));
}

/**
 * A segment before the single blocks takes and gives the streams `img` and `txt`, one between them all their rows together,
 * `x`. The last one gives the image's rows alone, since the text has served.
 */
function blocks(graph: Graph, w: Weights, config: FluxConfig, segment: BlockSegment): void {
  const { doubles, singles, ends } = segment;
  const { hidden, heads, depth, depthSingle } = config;
  const all = addDims(txt, img);
  const isJoined = singles[0] > 0;
  const inputs = isJoined
    ? [graph.input('x_in', 'f32', [all, hidden])]
    : [graph.input('img_in', 'f32', [img, hidden]), graph.input('txt_in', 'f32', [txt, hidden])];
  const vec = graph.input('vec', 'f32', [1, hidden]);
  const half = hidden / heads / 2;
  const pe = { cos: graph.input('cos', 'f32', [all, half]), sin: graph.input('sin', 'f32', [all, half]) };
  let streams = inputs as [Var, Var];
  for (let i = doubles[0]; i < doubles[1]; i++) {
    const given = i === 0 ? graph.input('img_mod', 'f32', [1, 6 * hidden]) : undefined;
    streams = doubleBlock(...streams, vec, pe, w.at('double_blocks').at(i), config, given);
  }
  const [image, text] = streams;
  /** An output for the next segment, of which the host takes a number. */
  const give = (name: string, value: Var) => {
    graph.output(name, value);
    if (w.compute.waits) graph.output(lastNumber, op.sliceAxis(op.sliceAxis(value, 0, 0, 1), 1, 0, 1));
  };
  const isLast = !ends && singles[1] === depthSingle && (depthSingle > 0 || doubles[1] === depth);
  if (singles[0] === singles[1] && !isLast) {
    give('img', image);
    graph.output('txt', text);
    return;
  }
  let x = isJoined ? inputs[0]! : op.concat([text, image], 0);
  for (let i = singles[0]; i < singles[1]; i++)
    x = singleBlock(x, vec, pe, w.at('single_blocks').at(i), config);
  if (!isLast) give('x', x);
  else if (isJoined) give('img', op.rowsFrom(x, graph.input('text_rows', 'i64', [1]), img));
  else give('img', op.splitRows(x, text)[1]);
}

/** Computes velocities only of the first `rows` tokens, the target's; those of the references are not needed. */
function final(graph: Graph, w: Weights, config: FluxConfig): void {
  const all = graph.input('img_in', 'f32', [img, config.hidden]);
  const vec = graph.input('vec', 'f32', [1, config.hidden]);
  const rows = graph.input('rows', 'i64', [1]);
  graph.output('velocity', finalLayer(op.takeRows(all, rows, symbol('target')), vec, w, config));
}
