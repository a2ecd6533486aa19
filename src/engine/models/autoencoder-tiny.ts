/**
 * AutoencoderTiny, the TAESD family (Ollin Boer Bohan; taesd.py of madebyollin/taesd): diffusers autoencoder_tiny.py,
 * vae.py EncoderTiny and DecoderTiny. Images are [1, 3, stride·h, stride·w] in [-1, 1], latents [1, z, h, w].
 */
import { type Activation, activate, activationNamed } from '../nn/activation.ts';
import { conv } from '../nn/conv.ts';
import { scaleDim, symbol } from '../onnx/dim.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { settingsOf } from '../weights/settings.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';
import type { Probe } from './autoencoder.ts';

/** Blocks that share a resolution. */
type Stage = { channels: number; blocks: number };

export type AutoencoderTinyConfig = {
  /** In the order they run; empty when the file holds only the other half. */
  encoder: Stage[];
  decoder: Stage[];
  latentChannels: number;
  upsampling: number;
  activation: Activation;
  /** Pixels per latent position, on each side. */
  stride: number;
  /** The network's latent is (z − shift)·scale. */
  scale: number;
  shift: number;
};

/** Read from tensor names and shapes; the rest from config.json or the metadata `taesd_config`. */
export function autoencoderTinyConfig(source: WeightSource): AutoencoderTinyConfig {
  const config = settingsOf(source.checkpoint, 'taesd_config');
  const [encoder, decoder] = [encoderStages(source), decoderStages(source)];
  const upsampling = Number(config.upsampling_scaling_factor ?? 2);
  const latentChannels =
    decoder.length > 0
      ? source.shape('decoder.layers.0.weight')[1]
      : source.shape(`encoder.layers.${layersOf(encoder)}.weight`)[0];
  return {
    encoder,
    decoder,
    latentChannels: latentChannels!,
    upsampling,
    activation: activationNamed(String(config.act_fn ?? 'relu'), source.checkpoint.path),
    stride: decoder.length > 0 ? upsampling ** (decoder.length - 1) : 2 ** (encoder.length - 1),
    scale: Number(config.scaling_factor ?? 1),
    shift: Number(config.shift_factor ?? 0),
  };
}

/** A convolution and its blocks for every stage, and a last convolution, the only later one with a bias. */
function encoderStages(source: WeightSource): Stage[] {
  const stages: Stage[] = [];
  for (let i = 0; ; i++) {
    const layer = `encoder.layers.${i}`;
    if (source.has(`${layer}.conv.0.weight`)) stages.at(-1)!.blocks += 1;
    else if (!source.has(`${layer}.weight`) || (i > 0 && source.has(`${layer}.bias`))) return stages;
    else stages.push({ channels: source.shape(`${layer}.weight`)[0]!, blocks: 0 });
  }
}

/** A convolution and an activation, then for every stage its blocks, an enlargement and a convolution. */
function decoderStages(source: WeightSource): Stage[] {
  if (!source.has('decoder.layers.0.weight')) return [];
  const stages: Stage[] = [{ channels: source.shape('decoder.layers.0.weight')[0]!, blocks: 0 }];
  for (let i = 2; ; i++) {
    const layer = `decoder.layers.${i}`;
    if (source.has(`${layer}.conv.0.weight`)) stages.at(-1)!.blocks += 1;
    else if (source.has(`decoder.layers.${i + 1}.weight`) && !source.has(`${layer}.weight`)) continue;
    else if (!source.has(`${layer}.weight`) || source.has(`${layer}.bias`)) return stages;
    else stages.push({ channels: source.shape(`${layer}.weight`)[0]!, blocks: 0 });
  }
}

function layersOf(stages: readonly Stage[]): number {
  return stages.reduce((sum, { blocks }) => sum + 1 + blocks, 0);
}

/** `image` to `latent`. */
export function encoderTinyGraph(
  source: WeightSource,
  config: AutoencoderTinyConfig,
  compute: Compute,
  probe?: (graph: Graph) => Probe,
): Graph {
  const graph = new Graph('autoencoder-tiny.encoder');
  const w = new Weights(graph, source, compute).at('encoder.layers');
  const stride = 2 ** (config.encoder.length - 1);
  const image = graph.input('image', 'f32', [
    1,
    3,
    scaleDim(symbol('h'), stride),
    scaleDim(symbol('w'), stride),
  ]);
  graph.output('latent', encodeTiny(image, w, config, probe?.(graph)));
  return graph;
}

/** `latent` to `image`. */
export function decoderTinyGraph(
  source: WeightSource,
  config: AutoencoderTinyConfig,
  compute: Compute,
  probe?: (graph: Graph) => Probe,
): Graph {
  const graph = new Graph('autoencoder-tiny.decoder');
  const w = new Weights(graph, source, compute).at('decoder.layers');
  const latent = graph.input('latent', 'f32', [1, config.latentChannels, symbol('h'), symbol('w')]);
  graph.output('image', decodeTiny(latent, w, config, probe?.(graph)));
  return graph;
}

/** `probe` gets the results of layers by their number. */
function encodeTiny(image: Var, w: Weights, config: AutoencoderTinyConfig, probe: Probe = () => {}): Var {
  const { encoder, latentChannels, activation } = config;
  let x = op.div(op.add(image, 1), 2); // TAESD's pixels are in [0, 1]
  let i = 0;
  encoder.forEach(({ channels, blocks }, stage) => {
    x = conv(x, w.at(i), channels, stage === 0 ? {} : { stride: 2, bias: false });
    probe(String(i++), x);
    for (let j = 0; j < blocks; j++) {
      x = tinyBlock(x, w.at(i), channels, activation);
      probe(String(i++), x);
    }
  });
  return conv(x, w.at(i), latentChannels);
}

function decodeTiny(latent: Var, w: Weights, config: AutoencoderTinyConfig, probe: Probe = () => {}): Var {
  const { decoder, activation, upsampling } = config;
  let x = op.mul(op.tanh(op.div(latent, 3)), 3);
  x = conv(x, w.at(0), decoder[0]?.channels ?? 0);
  probe('0', x);
  x = activate(x, activation);
  let i = 2;
  decoder.forEach(({ channels, blocks }, stage) => {
    for (let j = 0; j < blocks; j++) {
      x = tinyBlock(x, w.at(i), channels, activation);
      probe(String(i++), x);
    }
    const next = decoder[stage + 1];
    if (!next) return;
    i += 1;
    x = conv(op.upsampleNearest(x, upsampling), w.at(i), next.channels, { bias: false });
    probe(String(i++), x);
  });
  return op.sub(op.mul(conv(x, w.at(i), 3), 2), 1);
}

/** Three convolutions beside the identity, or a 1×1 convolution where the width changes. */
function tinyBlock(x: Var, w: Weights, channels: number, activation: Activation): Var {
  let h = activate(conv(x, w.at('conv.0'), channels), activation);
  h = activate(conv(h, w.at('conv.2'), channels), activation);
  h = conv(h, w.at('conv.4'), channels);
  const skip = x.dim(1) === channels ? x : conv(x, w.at('skip'), channels, { kernel: 1, bias: false });
  return op.relu(op.add(h, skip));
}
