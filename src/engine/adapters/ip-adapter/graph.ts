/** An IP-Adapter's own network: image features to keys and values. They do not depend on the step. */
import { symbol } from '../../onnx/dim.ts';
import { Graph } from '../../onnx/graph.ts';
import { type Compute, Weights } from '../../weights/weights.ts';
import type { OpenIpAdapter } from './index.ts';

/** `features` [n, E] to `k.i` and `v.i` [n·T, H·D] for every block i. */
export function ipAdapterGraph(
  { format, source, config }: OpenIpAdapter,
  headDim: number,
  compute: Compute,
): Graph {
  const graph = new Graph('ip-adapter');
  const w = new Weights(graph, source, compute);
  const features = graph.input('features', 'f32', [symbol('n'), config.features]);
  const tokens = format.project(features, w, config);
  for (let i = 0; i < config.layers; i++) {
    const [key, value] = format.keyValue(tokens, w, i, config, headDim);
    graph.output(`k.${i}`, key);
    graph.output(`v.${i}`, value);
  }
  return graph;
}
