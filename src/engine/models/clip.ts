/**
 * CLIP's text encoder (Radford et al., arXiv 2103.00020): transformers/models/clip/modeling_clip.py, CLIPTextModel.
 */
import { EngineError } from '../errors.ts';
import { type Activation, activate, activationNamed } from '../nn/activation.ts';
import { attention } from '../nn/attention.ts';
import { linear } from '../nn/linear.ts';
import { layerNorm } from '../nn/norm.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { f32Tensor, type Tensor, tensor } from '../onnx/tensor.ts';
import type { PreparedWeights } from '../weights/prepared.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';

export type ClipConfig = {
  hidden: number;
  heads: number;
  mlp: number;
  layers: number;
  /** Tokens of a prompt, always all of them. */
  positions: number;
  activation: Activation;
  epsilon: number;
  endId: number;
};

/** From tensor shapes, config.json and a single file's metadata `clip_config`. */
export function clipConfig(source: WeightSource): ClipConfig {
  const settings = settingsOf(source.checkpoint, 'clip_config');
  const config = (settings.text_config ?? settings) as Record<string, unknown>;
  const [vocabulary, hidden] = source.shape('embeddings.token_embedding.weight') as [number, number];
  const heads = Number(config.num_attention_heads ?? hidden / 64);
  const { path } = source.checkpoint;
  if (!Number.isInteger(hidden / heads) || !Number.isInteger(heads))
    throw new EngineError(
      'modelConfigInvalid',
      `${path}: ${hidden} channels do not divide into ${heads} heads (num_attention_heads; 64 channels each by default)`,
      { path },
    );
  return {
    hidden,
    heads,
    mlp: source.shape('encoder.layers.0.mlp.fc1.weight')[0]!,
    layers: Math.max(source.count('encoder.layers', 'mlp.fc1.weight'), Number(config.num_hidden_layers ?? 0)),
    positions: source.shape('embeddings.position_embedding.weight')[0]!,
    activation: activationNamed(String(config.hidden_act ?? 'quick_gelu'), path),
    epsilon: Number(config.layer_norm_eps ?? 1e-5),
    // OpenAI's vocabulary ends with the end-of-text token.
    endId: Number(config.eos_token_id ?? vocabulary - 1),
  };
}

/** Rows of the token table, read from disk, and the place of the first end token: the feeds of `clipGraph`. */
export function clipFeeds(
  source: WeightSource,
  { hidden, endId }: ClipConfig,
  ids: ArrayLike<number>,
): Record<string, Tensor> {
  const list = Array.from(ids);
  // Configurations older than transformers#24773 say 2 and mean the highest id. Without an end token the
  // reference's argmax of all zeros is 0.
  const end = endId === 2 ? list.indexOf(Math.max(...list)) : Math.max(list.indexOf(endId), 0);
  const rows = source.rows('embeddings.token_embedding.weight', list);
  return {
    tokens: f32Tensor(rows, [list.length, hidden]),
    end: tensor('i64', BigInt64Array.of(BigInt(end)), [1]),
  };
}

/** `tokens` [L, D] and `end` [1] to `last_hidden_state` [L, D] and `pooled` [1, D]. */
export function clipGraph(
  source: WeightSource,
  config: ClipConfig,
  compute: Compute,
  prepared?: PreparedWeights,
): Graph {
  const graph = new Graph('clip');
  const w = new Weights(graph, source, compute, prepared);
  const { hidden, layers, positions, epsilon } = config;
  const position = w.tensor('embeddings.position_embedding.weight', [positions, hidden]);
  let x = op.add(graph.input('tokens', 'f32', [positions, hidden]), position);
  const mask = causalMask(graph, positions);
  for (let i = 0; i < layers; i++) x = encoderLayer(x, mask, w.at('encoder.layers').at(i), config);
  x = layerNorm(x, w.at('final_layer_norm'), epsilon);
  graph.output('last_hidden_state', x);
  graph.output('pooled', op.gather(x, graph.input('end', 'i64', [1])));
  return graph;
}

/** The sizes of an encoder layer; CLIP's and SigLIP's encoders of images have the same layers. */
export type EncoderConfig = Pick<
  ClipConfig,
  'hidden' | 'heads' | 'mlp' | 'layers' | 'activation' | 'epsilon'
>;

/** A pre-norm transformer layer over x [L, D]; `mask` [1, 1, L, L] is added to the scores. */
export function encoderLayer(x: Var, mask: Var | undefined, w: Weights, config: EncoderConfig): Var {
  const { hidden, heads, mlp, activation, epsilon } = config;
  const h = layerNorm(x, w.at('layer_norm1'), epsilon);
  const attn = w.at('self_attn');
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linear(h, attn.at(name), hidden)) as [
    Var,
    Var,
    Var,
  ];
  x = op.add(x, linear(attention(q, k, v, heads, w.compute, undefined, mask), attn.at('out_proj'), hidden));
  const up = linear(layerNorm(x, w.at('layer_norm2'), epsilon), w.at('mlp.fc1'), mlp);
  return op.add(x, linear(activate(up, activation), w.at('mlp.fc2'), hidden));
}

/** A token attends to itself and to those before it: [1, 1, L, L] of 0 and -∞. */
function causalMask(graph: Graph, length: number): Var {
  const mask = new Float32Array(length * length);
  for (let i = 0; i < length; i++) mask.fill(-Infinity, i * length + i + 1, (i + 1) * length);
  return op.constant.f32(graph, mask, [1, 1, length, length]);
}
