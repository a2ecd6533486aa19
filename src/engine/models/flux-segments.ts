/**
 * The transformer compiled as a few graphs, cut where a step cache may enter (facts of First-Block Cache,
 * ParaAttention; DBCache, vipshop/cache-dit): embed · first · head · rest · final. Every block's weights are in
 * exactly one of them, so the cut costs nothing when no cache is used. The modulation of the first block's image is
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
  type Rotary,
  singleBlock,
} from './flux.ts';
import type { FluxConfig } from './flux-config.ts';

export type SegmentName = 'embed' | 'first' | 'head' | 'rest' | 'final';

/** Double blocks 0 … headBlocks−1 are computed on every step by DBCache (F8 of cache-dit). */
const headBlocks = 8;

/** In a shallow model all double blocks are the head, as long as single blocks are left to be reused. */
function headOf({ depth, depthSingle }: FluxConfig): number {
  return Math.max(Math.min(headBlocks, depthSingle > 0 ? depth : depth - 1), 1);
}

const [img, txt] = [symbol('img'), symbol('txt')];

export type SegmentBuilder = (name: SegmentName, compute: Compute, prepared?: PreparedWeights) => Graph;

/** The segments a model of this depth has: one with a single block in its head has it in `first`. */
export function segmentNames(config: FluxConfig): SegmentName[] {
  return headOf(config) > 1
    ? ['embed', 'first', 'head', 'rest', 'final']
    : ['embed', 'first', 'rest', 'final'];
}

/** Blocks of the model that a segment computes. */
export function blocksOf(name: SegmentName, config: FluxConfig): number {
  const cut = headOf(config);
  if (name === 'first') return 1;
  if (name === 'head') return cut - 1;
  return name === 'rest' ? config.depth + config.depthSingle - cut : 0;
}

export function segmentBuilder(source: WeightSource, config: FluxConfig): SegmentBuilder {
  const cut = headOf(config);
  return (name, compute, prepared) => {
    const graph = new Graph(`flux.${name}`);
    const w = new Weights(graph, source, compute, prepared);
    if (name === 'embed') embed(graph, w, config);
    else if (name === 'final') final(graph, w, config);
    else if (name === 'first') doubles(graph, w, config, 0, 1);
    else if (name === 'head') doubles(graph, w, config, 1, cut);
    else rest(graph, w, config, cut);
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

type Stream = { img: Var; txt: Var; vec: Var; pe: Rotary };

function streams(graph: Graph, { hidden, heads }: FluxConfig): Stream {
  const all = addDims(txt, img);
  const half = hidden / heads / 2;
  return {
    img: graph.input('img_in', 'f32', [img, hidden]),
    txt: graph.input('txt_in', 'f32', [txt, hidden]),
    vec: graph.input('vec', 'f32', [1, hidden]),
    pe: { cos: graph.input('cos', 'f32', [all, half]), sin: graph.input('sin', 'f32', [all, half]) },
  };
}

function doubles(graph: Graph, w: Weights, config: FluxConfig, from: number, to: number): void {
  const stream = runDoubles(streams(graph, config), w, config, from, to);
  graph.output('img', stream.img);
  graph.output('txt', stream.txt);
}

function runDoubles(stream: Stream, w: Weights, config: FluxConfig, from: number, to: number): Stream {
  let { img, txt } = stream;
  const { vec, pe } = stream;
  for (let i = from; i < to; i++) {
    const given = i === 0 ? vec.graph.input('img_mod', 'f32', [1, 6 * config.hidden]) : undefined;
    [img, txt] = doubleBlock(img, txt, vec, pe, w.at('double_blocks').at(i), config, given);
  }
  return { img, txt, vec, pe };
}

/** The other double blocks and all single blocks; the text rows have served and are dropped. */
function rest(graph: Graph, w: Weights, config: FluxConfig, from: number): void {
  const { img, txt, vec, pe } = runDoubles(streams(graph, config), w, config, from, config.depth);
  let x = op.concat([txt, img], 0);
  for (let i = 0; i < config.depthSingle; i++)
    x = singleBlock(x, vec, pe, w.at('single_blocks').at(i), config);
  const [, out] = op.splitRows(x, txt);
  graph.output('img', out);
}

/** Computes velocities only of the first `rows` tokens, the target's; those of the references are not needed. */
function final(graph: Graph, w: Weights, config: FluxConfig): void {
  const all = graph.input('img_in', 'f32', [img, config.hidden]);
  const vec = graph.input('vec', 'f32', [1, config.hidden]);
  const rows = graph.input('rows', 'i64', [1]);
  graph.output('velocity', finalLayer(op.takeRows(all, rows, symbol('target')), vec, w, config));
}
