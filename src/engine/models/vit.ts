/**
 * The Vision Transformer as a classifier (Dosovitskiy et al., arXiv 2010.11929): transformers/models/vit/modeling_vit.py,
 * ViTForImageClassification.
 */
import { EngineError } from '../errors.ts';
import { activationNamed } from '../nn/activation.ts';
import { linear } from '../nn/linear.ts';
import { layerNorm } from '../nn/norm.ts';
import { Graph } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import { type EncoderConfig, encoderLayer } from './clip.ts';

export type VitConfig = EncoderConfig & {
  /** Side of the images it takes and of the patches it cuts them into, in pixels. */
  size: number;
  patch: number;
  /** The names of its classes, in the order of its outputs. */
  labels: string[];
};

/** From tensor shapes and config.json. */
export function vitConfig(source: WeightSource): VitConfig {
  const { path, config } = source.checkpoint;
  const [hidden, , patch] = source.shape('embeddings.patch_embeddings.projection.weight') as [
    number,
    number,
    number,
  ];
  const [, positions] = source.shape('embeddings.position_embeddings') as [number, number];
  const [classes] = source.shape('classifier.weight') as [number];
  const heads = Number(config.num_attention_heads ?? hidden / 64);
  const side = Math.sqrt(positions - 1);
  if (!Number.isInteger(hidden / heads) || !Number.isInteger(heads) || !Number.isInteger(side))
    throw new EngineError(
      'modelConfigInvalid',
      `${path}: ${hidden} channels in ${heads} heads (num_attention_heads of its config.json) or ${positions} positions in a square of patches and one more do not come out even`,
      { path },
    );
  const names = (config.id2label ?? {}) as Record<string, unknown>;
  return {
    hidden,
    heads,
    mlp: source.shape('encoder.layers.0.mlp.fc1.weight')[0]!,
    layers: Math.max(source.count('encoder.layers', 'mlp.fc1.weight'), Number(config.num_hidden_layers ?? 0)),
    activation: activationNamed(String(config.hidden_act ?? 'gelu'), path),
    epsilon: Number(config.layer_norm_eps ?? 1e-12),
    size: side * patch,
    patch,
    labels: Array.from({ length: classes }, (_, i) => String(names[i] ?? `LABEL_${i}`)),
  };
}

/** `image` [1, 3, S, S], normalised, to `logits` [1, classes]. */
export function vitGraph(source: WeightSource, config: VitConfig, compute: Compute): Graph {
  const graph = new Graph('vit');
  const w = new Weights(graph, source, compute);
  const { hidden, layers, epsilon, size, patch, labels } = config;
  const image = graph.input('image', 'f32', [1, 3, size, size]);
  const projection = w.at('embeddings.patch_embeddings.projection');
  const kernel = projection.tensor('weight', [hidden, 3, patch, patch]);
  const cells = op.conv2d(image, kernel, projection.tensor('bias', [hidden]), { stride: patch });
  const patches = op.transpose(op.reshape(cells, [hidden, (size / patch) ** 2]), [1, 0]);
  const tokens = op.concat([w.tensor('embeddings.cls_token', [1, hidden]), patches], 0);
  let x = op.add(tokens, w.tensor('embeddings.position_embeddings', tokens.shape as number[]));
  for (let i = 0; i < layers; i++) x = encoderLayer(x, undefined, w.at('encoder.layers').at(i), config);
  const first = layerNorm(op.gather(x, op.constant.i64(graph, [0])), w.at('layernorm'), epsilon);
  graph.output('logits', linear(first, w.at('classifier'), labels.length));
  return graph;
}
