/** Tensors of FLUX.1's image autoencoder: BFL's ae.safetensors in F32, and diffusers' vae in BF16. */

import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { type Tensor, tensor } from './tensor.ts';

const channels = [128, 256, 512, 512];
const top = 512;
const latent = 16;

export function autoencoderTensors(): Tensor[] {
  return [...encoder(), ...decoder()];
}

/** The same under diffusers' names, whose attention has linear layers for 1×1 convolutions. */
export function autoencoderDiffusers(): Tensor[] {
  const [dialect] = autoencoderDialects;
  const levels = new Set([`decoder.up_blocks.${channels.length - 1}.resnets.0.conv1.weight`]);
  const names = (name: string) => dialect!.locate(name, levels)[0]!.name;
  return autoencoderTensors().map((each) => ({
    ...each,
    name: currentName(names(each.name)),
    dtype: 'BF16' as const,
    shape: /attn_1\.(q|k|v|proj_out)\.weight/.test(each.name) ? each.shape.slice(0, 2) : each.shape,
  }));
}

/** The dialect takes a name that it does not find for one of diffusers before 0.15. */
function currentName(name: string): string {
  const names: Record<string, string> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' };
  return name.replace(/(?<=attentions\.0\.)(query|key|value|proj_attn)(?=\.)/, (found) => names[found]!);
}

function conv(name: string, outputs: number, inputs: number, size = 3): Tensor[] {
  const std = 1 / Math.sqrt(inputs * size * size);
  return [
    tensor(`${name}.weight`, 'F32', [outputs, inputs, size, size], std),
    tensor(`${name}.bias`, 'F32', [outputs]),
  ];
}

function norm(name: string, width: number): Tensor[] {
  return ['weight', 'bias'].map((leaf) => tensor(`${name}.${leaf}`, 'F32', [width]));
}

function resnet(name: string, inputs: number, outputs: number): Tensor[] {
  return [
    ...norm(`${name}.norm1`, inputs),
    ...conv(`${name}.conv1`, outputs, inputs),
    ...norm(`${name}.norm2`, outputs),
    ...conv(`${name}.conv2`, outputs, outputs),
    ...(inputs === outputs ? [] : conv(`${name}.nin_shortcut`, outputs, inputs, 1)),
  ];
}

function middle(side: string): Tensor[] {
  return [
    ...resnet(`${side}.mid.block_1`, top, top),
    ...norm(`${side}.mid.attn_1.norm`, top),
    ...['q', 'k', 'v', 'proj_out'].flatMap((each) => conv(`${side}.mid.attn_1.${each}`, top, top, 1)),
    ...resnet(`${side}.mid.block_2`, top, top),
  ];
}

function encoder(): Tensor[] {
  const tensors = conv('encoder.conv_in', channels[0]!, 3);
  let width = channels[0]!;
  for (const [level, outputs] of channels.entries()) {
    for (const block of [0, 1]) {
      tensors.push(...resnet(`encoder.down.${level}.block.${block}`, width, outputs));
      width = outputs;
    }
    if (level < channels.length - 1)
      tensors.push(...conv(`encoder.down.${level}.downsample.conv`, width, width));
  }
  const ends = [...norm('encoder.norm_out', width), ...conv('encoder.conv_out', 2 * latent, width)];
  return [...tensors, ...middle('encoder'), ...ends];
}

function decoder(): Tensor[] {
  const tensors = [...conv('decoder.conv_in', top, latent), ...middle('decoder')];
  let width = top;
  for (const [level, outputs] of [...channels.entries()].reverse()) {
    for (const block of [0, 1, 2]) {
      tensors.push(...resnet(`decoder.up.${level}.block.${block}`, width, outputs));
      width = outputs;
    }
    if (level > 0) tensors.push(...conv(`decoder.up.${level}.upsample.conv`, width, width));
  }
  return [...tensors, ...norm('decoder.norm_out', width), ...conv('decoder.conv_out', 3, width)];
}
