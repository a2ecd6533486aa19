/** The transformer with every block's activation as an output, for comparison with the reference implementation's. */
import { doubleBlock, embedImage, embedText, finalLayer, singleBlock } from '../../src/engine/models/flux.ts';
import type { FluxConfig } from '../../src/engine/models/flux-config.ts';
import { mlpEmbedder } from '../../src/engine/nn/embedding.ts';
import { addDims, symbol } from '../../src/engine/onnx/dim.ts';
import { Graph, type Var } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import type { PreparedWeights } from '../../src/engine/weights/prepared.ts';
import type { WeightSource } from '../../src/engine/weights/source.ts';
import { type Compute, Weights } from '../../src/engine/weights/weights.ts';

export function traceGraph(
  source: WeightSource,
  config: FluxConfig,
  compute: Compute,
  prepared?: PreparedWeights,
): Graph {
  const graph = new Graph('flux.trace');
  const w = new Weights(graph, source, compute, prepared);
  const [imgTokens, txtTokens] = [symbol('img'), symbol('txt')];
  const half = config.hidden / config.heads / 2;
  const all = addDims(txtTokens, imgTokens);
  const pe = { cos: graph.input('cos', 'f32', [all, half]), sin: graph.input('sin', 'f32', [all, half]) };
  const t = graph.input('t', 'f32', [1, 256]);
  const g = config.guidance ? graph.input('g', 'f32', [1, 256]) : undefined;
  const y = graph.input('y', 'f32', [1, config.vecIn]);
  // The terms of `conditioning`, one by one.
  const terms: Record<string, Var> = { time_in: mlpEmbedder(t, w.at('time_in'), config.hidden) };
  if (g) terms.guidance_in = mlpEmbedder(g, w.at('guidance_in'), config.hidden);
  terms.vector_in = mlpEmbedder(y, w.at('vector_in'), config.hidden);
  const vec = Object.values(terms).reduce((sum, term) => op.add(sum, term));
  for (const [name, term] of Object.entries(terms)) graph.output(name, term);
  let img = embedImage(graph.input('latents', 'f32', [imgTokens, config.inChannels]), w, config);
  let txt = embedText(graph.input('context', 'f32', [txtTokens, config.contextIn]), w, config);
  graph.output('img_in', img);
  graph.output('txt_in', txt);
  for (let i = 0; i < config.depth; i++) {
    [img, txt] = doubleBlock(img, txt, vec, pe, w.at('double_blocks').at(i), config);
    graph.output(`double.${i}.img`, img);
    graph.output(`double.${i}.txt`, txt);
  }
  let x = op.concat([txt, img], 0);
  for (let i = 0; i < config.depthSingle; i++) {
    x = singleBlock(x, vec, pe, w.at('single_blocks').at(i), config);
    graph.output(`single.${i}`, x);
  }
  graph.output('final', finalLayer(op.splitRows(x, txt)[1], vec, w, config));
  return graph;
}
