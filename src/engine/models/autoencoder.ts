/**
 * AutoencoderKL (Rombach et al., arXiv 2112.10752) as FLUX.1 uses it: flux/modules/autoencoder.py.
 * Extensions: pixel_unshuffle before the encoder and pixel_shuffle after the decoder when the patch is not 1, and a decoder
 * with levels of its own that grow by pixel_shuffle, as DC-AE's do (Chen et al., arXiv 2410.10733).
 * Images are [1, 3, stride·h, stride·w] in [-1, 1], latents [1, z, h, w].
 */
import { attention } from '../nn/attention.ts';
import { conv, upsampleConv } from '../nn/conv.ts';
import { groupNorm } from '../nn/group-norm.ts';
import { linear } from '../nn/linear.ts';
import { scaleDim, symbol } from '../onnx/dim.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import type { AutoencoderConfig } from './autoencoder-config.ts';

/** Told the activations by the names parity tests know them by. */
export type Probe = (name: string, value: Var) => void;
const nobody: Probe = () => {};

/** `image` to `moments` [1, 2·z, h, w]: means, the latent we use, and then log-variances. */
export function encoderGraph(
  source: WeightSource,
  config: AutoencoderConfig,
  compute: Compute,
  probe?: (graph: Graph) => Probe,
): Graph {
  const { graph, w } = open('autoencoder.encoder', source, compute);
  const { imageChannels, stride } = config;
  const sides = [scaleDim(symbol('h'), stride), scaleDim(symbol('w'), stride)];
  const image = graph.input('image', 'f32', [1, imageChannels, ...sides]);
  graph.output('moments', encode(image, w, config, probe?.(graph)));
  return graph;
}

/** `latent` [1, z, h, w] to `image`. */
export function decoderGraph(
  source: WeightSource,
  config: AutoencoderConfig,
  compute: Compute,
  probe?: (graph: Graph) => Probe,
): Graph {
  const { graph, w } = open('autoencoder.decoder', source, compute);
  const latent = graph.input('latent', 'f32', [1, config.latentChannels, symbol('h'), symbol('w')]);
  graph.output('image', decode(latent, w, config, probe?.(graph)));
  return graph;
}

/** An empty graph and the checkpoint's weights in it. */
export function open(name: string, source: WeightSource, compute: Compute): { graph: Graph; w: Weights } {
  const graph = new Graph(name);
  // This network is always f32; nn/conv.ts has the reason.
  return { graph, w: new Weights(graph, source, { ...compute, precision: 'f32' }) };
}

function encode(x: Var, w: Weights, config: AutoencoderConfig, probe = nobody): Var {
  const { channels, encoderBlocks, latentChannels, patch } = config;
  const encoder = w.at('encoder');
  let h = conv(patch === 1 ? x : op.pixelUnshuffle(x, patch), encoder.at('conv_in'), channels[0]!);
  probe('conv_in', h);
  channels.forEach((width, i) => {
    const down = encoder.at('down').at(i);
    for (let j = 0; j < encoderBlocks; j++) h = resnetBlock(h, down.at('block').at(j), width, config);
    if (i === channels.length - 1) return;
    h = conv(h, down.at('downsample.conv'), width, { stride: 2, padding: 'right-bottom' });
    probe(`down${i}.ds`, h);
  });
  h = middle(h, encoder.at('mid'), config, probe);
  h = normConv(h, encoder.at('norm_out'), encoder.at('conv_out'), 2 * latentChannels, config);
  probe('out', h);
  return w.hasAny('quant_conv.weight', 'quant_conv.bias')
    ? conv(h, w.at('quant_conv'), 2 * latentChannels, { kernel: 1 })
    : h;
}

function decode(z: Var, w: Weights, config: AutoencoderConfig, probe = nobody): Var {
  const { decoderChannels: channels, decoderBlocks, imageChannels, decoderPatch } = config;
  const decoder = w.at('decoder');
  let h = decoderStart(z, w, config, probe);
  for (let i = channels.length - 1; i >= 0; i--) {
    const up = decoder.at('up').at(i);
    for (let j = 0; j < decoderBlocks; j++) h = resnetBlock(h, up.at('block').at(j), channels[i]!, config);
    if (i === 0) break;
    h = enlarge(h, up.at('upsample.conv'), channels[i - 1]!, config);
    probe(`up${i}.us`, h);
  }
  h = normConv(h, decoder.at('norm_out'), decoder.at('conv_out'), imageChannels * decoderPatch ** 2, config);
  probe('out', h);
  return decoderPatch === 1 ? h : op.pixelShuffle(h, decoderPatch);
}

/** The decoder's part that has the latent's size: [1, z, h, w] to [1, C, h, w]. */
export function decoderStart(z: Var, w: Weights, config: AutoencoderConfig, probe = nobody): Var {
  const { decoderChannels, latentChannels } = config;
  const decoder = w.at('decoder');
  let h = w.hasAny('post_quant_conv.weight', 'post_quant_conv.bias')
    ? conv(z, w.at('post_quant_conv'), latentChannels, { kernel: 1 })
    : z;
  h = conv(h, decoder.at('conv_in'), decoderChannels.at(-1)!);
  probe('conv_in', h);
  return middle(h, decoder.at('mid'), config, probe);
}

/** To the next finer level: [1, C, H, W] to [1, C, 2·H, 2·W], or by a pixel_shuffle to [1, finer, f·H, f·W]. */
function enlarge(x: Var, w: Weights, finer: number, { upsample }: AutoencoderConfig): Var {
  if (upsample === 'nearest') return upsampleConv(x, w);
  return op.pixelShuffle(conv(x, w, finer * upsample ** 2), upsample);
}

/** GroupNorm, SiLU, convolution: [1, C, H, W] to [1, outputs, H, W]. */
function normConv(x: Var, norm: Weights, w: Weights, outputs: number, { groups }: AutoencoderConfig): Var {
  return conv(op.silu(groupNorm(x, norm, groups)), w, outputs);
}

/** [1, C, H, W] to [1, width, H, W]. */
function resnetBlock(x: Var, w: Weights, width: number, config: AutoencoderConfig): Var {
  let h = normConv(x, w.at('norm1'), w.at('conv1'), width, config);
  h = normConv(h, w.at('norm2'), w.at('conv2'), width, config);
  const skip = x.dim(1) === width ? x : conv(x, w.at('nin_shortcut'), width, { kernel: 1 });
  return op.add(skip, h);
}

function middle(x: Var, w: Weights, config: AutoencoderConfig, probe: Probe): Var {
  const width = x.dim(1) as number;
  let h = resnetBlock(x, w.at('block_1'), width, config);
  probe('mid1', h);
  if (w.hasAny(...['norm', 'q', 'k', 'v', 'proj_out'].map((part) => `attn_1.${part}.weight`))) {
    h = attentionBlock(h, w.at('attn_1'), config);
    probe('attn', h);
  }
  h = resnetBlock(h, w.at('block_2'), width, config);
  probe('mid2', h);
  return h;
}

/** Every position attends to every other, with a single head as wide as the image: [1, C, H, W]. */
function attentionBlock(x: Var, w: Weights, { groups }: AutoencoderConfig): Var {
  const width = x.dim(1) as number;
  const normed = op.reshape(groupNorm(x, w.at('norm'), groups), [width, -1]);
  const tokens = op.transpose(normed, [1, 0]); // [H·W, C]
  const [q, k, v] = ['q', 'k', 'v'].map((name) => linear(tokens, w.at(name), width)) as [Var, Var, Var];
  const out = linear(attention(q, k, v, 1, w.compute), w.at('proj_out'), width);
  return op.add(x, op.reshapeLike(op.transpose(out, [1, 0]), x));
}
