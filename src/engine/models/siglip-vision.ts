/**
 * SigLIP's image encoder (Zhai et al., arXiv 2303.15343): transformers/models/siglip/modeling_siglip.py,
 * SiglipVisionModel. Its pooled output is one learned query's attention over the patches.
 */
import { activate } from '../nn/activation.ts';
import { attention } from '../nn/attention.ts';
import { linear } from '../nn/linear.ts';
import { layerNorm } from '../nn/norm.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import { type EncoderConfig, encoderLayer } from './clip.ts';
import { embedPatches, type VisionConfig, visionConfig } from './vision-config.ts';

export function siglipVisionConfig(source: WeightSource): VisionConfig {
  return visionConfig(source, {
    features: source.shape('head.probe')[2]!,
    classToken: false,
    activation: 'gelu_pytorch_tanh',
    epsilon: 1e-6,
    mean: [0.5, 0.5, 0.5],
    deviation: [0.5, 0.5, 0.5],
    crop: false,
  });
}

/** `image` [1, 3, S, S] to `features` [1, D] (the reference's `pooler_output`) and `penultimate` [N, D]. */
export function siglipVisionGraph(source: WeightSource, config: VisionConfig, compute: Compute): Graph {
  const graph = new Graph('siglip.vision');
  const w = new Weights(graph, source, compute);
  const { layers, epsilon, size } = config;
  const patches = embedPatches(graph.input('image', 'f32', [1, 3, size, size]), w, config, true);
  const position = w.tensor('embeddings.position_embedding.weight', patches.shape as number[]);
  let x = op.add(patches, position);
  let penultimate: Var = x;
  for (let i = 0; i < layers; i++) {
    penultimate = x;
    x = encoderLayer(x, undefined, w.at('encoder.layers').at(i), config);
  }
  graph.output(
    'features',
    attentionPooling(layerNorm(x, w.at('post_layernorm'), epsilon), w.at('head'), config),
  );
  graph.output('penultimate', penultimate);
  return graph;
}

/** The probe [1, D] attends to x [N, D]; torch.nn.MultiheadAttention keeps q, k and v in one matrix. */
function attentionPooling(x: Var, w: Weights, config: EncoderConfig): Var {
  const { hidden, heads, mlp, activation, epsilon } = config;
  const thirds = [hidden, hidden, hidden];
  const matrices = op.split(w.tensor('attention.in_proj_weight', [3 * hidden, hidden]), thirds, 0);
  const biases = op.split(w.tensor('attention.in_proj_bias', [3 * hidden]), thirds, 0);
  const probe = w.tensor('probe', [1, hidden]);
  const [q, k, v] = [probe, x, x].map((y, i) =>
    op.add(op.matmulTransposed(y, matrices[i]!), op.reshape(biases[i]!, [1, hidden])),
  ) as [Var, Var, Var];
  const h = linear(attention(q, k, v, heads, w.compute), w.at('attention.out_proj'), hidden);
  const up = linear(layerNorm(h, w.at('layernorm'), epsilon), w.at('mlp.fc1'), mlp);
  return op.add(h, linear(activate(up, activation), w.at('mlp.fc2'), hidden));
}
