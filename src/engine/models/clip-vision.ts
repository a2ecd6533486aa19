/**
 * CLIP's image encoder (Radford et al., arXiv 2103.00020): transformers/models/clip/modeling_clip.py,
 * CLIPVisionModelWithProjection.
 */
import { layerNorm } from '../nn/norm.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import { encoderLayer } from './clip.ts';
import { embedPatches, type VisionConfig, visionConfig } from './vision-config.ts';

/** `features` is the width of the joint space of texts and images. */
export function clipVisionConfig(source: WeightSource): VisionConfig {
  return visionConfig(source, {
    features: source.shape('visual_projection.weight')[0]!,
    classToken: true,
    activation: 'quick_gelu',
    epsilon: 1e-5,
    mean: [0.48145466, 0.4578275, 0.40821073],
    deviation: [0.26862954, 0.26130258, 0.27577711],
    crop: true,
  });
}

/** `image` [1, 3, S, S] to `features` [1, P] (the reference's `image_embeds`) and `penultimate` [1 + N, D]. */
export function clipVisionGraph(source: WeightSource, config: VisionConfig, compute: Compute): Graph {
  const graph = new Graph('clip.vision');
  const w = new Weights(graph, source, compute);
  const { hidden, layers, epsilon, features, size } = config;
  const classToken = op.reshape(w.tensor('embeddings.class_embedding', [hidden]), [1, hidden]);
  const patches = embedPatches(graph.input('image', 'f32', [1, 3, size, size]), w, config, false);
  const tokens = op.concat([classToken, patches], 0);
  const position = w.tensor('embeddings.position_embedding.weight', tokens.shape as number[]);
  // The reference spells it so, and so do its checkpoints.
  let x = layerNorm(op.add(tokens, position), w.at('pre_layrnorm'), epsilon);
  let penultimate: Var = x;
  for (let i = 0; i < layers; i++) {
    penultimate = x;
    x = encoderLayer(x, undefined, w.at('encoder.layers').at(i), config);
  }
  const pooled = layerNorm(op.gather(x, op.constant.i64(graph, [0])), w.at('post_layernorm'), epsilon);
  graph.output(
    'features',
    op.matmulTransposed(pooled, w.tensor('visual_projection.weight', [features, hidden])),
  );
  graph.output('penultimate', penultimate);
  return graph;
}
