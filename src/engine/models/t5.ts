/**
 * T5's encoder (Raffel et al., arXiv 1910.10683; v1.1): transformers/models/t5/modeling_t5.py, T5EncoderModel.
 * Padding is attended to as FLUX was trained: no mask.
 */
import { type Activation, activate, activationNamed } from '../nn/activation.ts';
import { attention } from '../nn/attention.ts';
import { linear } from '../nn/linear.ts';
import { rmsNorm } from '../nn/norm.ts';
import { symbol } from '../onnx/dim.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { f32Tensor, type Tensor, tensor } from '../onnx/tensor.ts';
import type { PreparedWeights } from '../weights/prepared.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';

export type T5Config = {
  hidden: number;
  heads: number;
  headDim: number;
  mlp: number;
  layers: number;
  gated: boolean;
  activation: Activation;
  epsilon: number;
  buckets: number;
  maxDistance: number;
};

const bias = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight';

/** From tensor shapes, config.json and a single file's metadata `t5_config`. */
export function t5Config(source: WeightSource): T5Config {
  const config = settingsOf(source.checkpoint, 't5_config');
  const feedForward = 'encoder.block.0.layer.1.DenseReluDense';
  const gated = source.hasAny(`${feedForward}.wi_0.weight`, `${feedForward}.wi_1.weight`);
  const [buckets, heads] = source.shape(bias) as [number, number];
  // No other tensor contradicts this one: fewer and wider heads would fit as well.
  const expected = [config.relative_attention_num_buckets ?? buckets, config.num_heads ?? heads].map(Number);
  if (expected[0] !== buckets || expected[1] !== heads)
    throw source.misshapen(bias, [buckets, heads], expected);
  const named = String(config.dense_act_fn ?? config.feed_forward_proj ?? (gated ? 'gated-gelu' : 'relu'));
  // transformers' T5Config: "gated-gelu" means the tanh form.
  const activation = named === 'gated-gelu' ? 'gelu_new' : named.replace(/^gated-/, '');
  return {
    hidden: source.shape('shared.weight')[1]!,
    heads,
    headDim: source.shape('encoder.block.0.layer.0.SelfAttention.q.weight')[0]! / heads,
    mlp: source.shape(`${feedForward}.wo.weight`)[1]!,
    layers: Math.max(
      source.count('encoder.block', 'layer.0.SelfAttention.q.weight'),
      Number(config.num_layers ?? 0),
    ),
    gated,
    activation: activationNamed(activation, source.checkpoint.path),
    epsilon: Number(config.layer_norm_epsilon ?? 1e-6),
    buckets,
    maxDistance: Number(config.relative_attention_max_distance ?? 128),
  };
}

/**
 * The feeds of `t5Graph`. The rows of the token table are read from disk: the XXL table is 263 MB in bf16 and a
 * prompt needs 512 of its 32,128 rows, so it is never loaded, nor put on a device that lacks the type.
 */
export function t5Feeds(
  source: WeightSource,
  config: T5Config,
  ids: ArrayLike<number>,
): Record<string, Tensor> {
  const { length } = ids;
  return {
    tokens: f32Tensor(source.rows('shared.weight', Array.from(ids)), [length, config.hidden]),
    buckets: tensor('i64', relativeBuckets(length, config), [length, length]),
  };
}

/** Near keys have a bucket for each distance, far ones share logarithmic ones; half are for keys that come later. */
export function relativeBuckets(length: number, { buckets, maxDistance }: T5Config): BigInt64Array {
  const half = buckets / 2;
  const exact = half / 2;
  const { fround, log } = Math;
  const bucketOf = (distance: number): number => {
    if (distance < exact) return distance;
    // In f32 step by step, as the reference does: distances of whole buckets sit on the edge of rounding.
    const part = fround(fround(log(fround(distance / exact))) / fround(log(maxDistance / exact)));
    return Math.min(exact + Math.floor(fround(part * (half - exact))), half - 1);
  };
  const near = Array.from({ length }, (_, distance) => bucketOf(distance));
  return BigInt64Array.from({ length: length * length }, (_, i) => {
    const relative = (i % length) - Math.floor(i / length); // key − query
    return BigInt(near[Math.abs(relative)]! + (relative > 0 ? half : 0));
  });
}

/** `tokens` [L, D] and `buckets` [L, L] to `last_hidden_state` [L, D]. */
export function t5Graph(
  source: WeightSource,
  config: T5Config,
  compute: Compute,
  prepared?: PreparedWeights,
): Graph {
  const graph = new Graph('t5');
  const w = new Weights(graph, source, compute, prepared);
  const length = symbol('tokens');
  let x = graph.input('tokens', 'f32', [length, config.hidden]);
  const table = w.tensor(bias, [config.buckets, config.heads]);
  const perPair = op.gather(table, graph.input('buckets', 'i64', [length, length])); // [L, L, H]
  const positionBias = op.unsqueeze(op.transpose(perPair, [2, 0, 1]), 0); // [1, H, L, L]
  for (let i = 0; i < config.layers; i++) {
    const block = w.at('encoder.block').at(i);
    x = selfAttention(x, positionBias, block.at('layer.0'), config);
    x = feedForward(x, block.at('layer.1'), config);
  }
  graph.output('last_hidden_state', norm(x, w.at('encoder.final_layer_norm'), config));
  return graph;
}

function norm(x: Var, w: Weights, { hidden, epsilon }: T5Config): Var {
  return rmsNorm(x, w.tensor('weight', [hidden]), epsilon);
}

/** Scores are not divided by √D: the initialisation of T5's weights takes its place. */
function selfAttention(x: Var, positionBias: Var, w: Weights, config: T5Config): Var {
  const { hidden, heads, headDim } = config;
  const h = norm(x, w.at('layer_norm'), config);
  const attn = w.at('SelfAttention');
  const [q, k, v] = ['q', 'k', 'v'].map((name) =>
    linear(h, attn.at(name), heads * headDim, { bias: false }),
  ) as [Var, Var, Var];
  const out = attention(q, k, v, heads, w.compute, 1, positionBias);
  return op.add(x, linear(out, attn.at('o'), hidden, { bias: false }));
}

function feedForward(x: Var, w: Weights, config: T5Config): Var {
  const { hidden, mlp, gated, activation } = config;
  const h = norm(x, w.at('layer_norm'), config);
  const dense = w.at('DenseReluDense');
  const up = (name: string) => linear(h, dense.at(name), mlp, { bias: false });
  const inner = gated ? op.mul(activate(up('wi_0'), activation), up('wi_1')) : activate(up('wi'), activation);
  // transformers keeps this layer in f32 too.
  return op.add(x, linear(inner, dense.at('wo'), hidden, { bias: false, wide: true }));
}
