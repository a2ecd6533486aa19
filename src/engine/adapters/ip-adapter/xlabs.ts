/**
 * XLabs' IP-Adapters v1 and v2, which differ in the number of tokens (XLabs-AI/x-flux `IPDoubleStreamBlockProcessor`,
 * `ImageProjModel`; diffusers `FluxIPAdapterAttnProcessor`).
 */
import { linear } from '../../nn/linear.ts';
import { layerNorm } from '../../nn/norm.ts';
import * as op from '../../onnx/operators/index.ts';
import { prefixed } from '../../weights/dialects/index.ts';
import type { IpAdapterFormat } from './format.ts';

const projection = 'ip_adapter_proj_model';
const processor = (layer: number) => `double_blocks.${layer}.processor.ip_adapter_double_stream`;

export const xlabs: IpAdapterFormat = {
  name: 'XLabs',
  dialects: [prefixed('xlabs', '', `${projection}.proj.weight`)],
  place: 'residual',
  blocks: 'double',

  configure(source) {
    const [rows, features] = source.shape(`${projection}.proj.weight`) as [number, number];
    const [width] = source.shape(`${projection}.norm.weight`) as [number];
    const [hidden] = source.shape(`${processor(0)}_k_proj.weight`) as [number];
    const layers = source.count('double_blocks', 'processor.ip_adapter_double_stream_k_proj.weight');
    return { features, tokens: rows / width, width, hidden, layers };
  },

  project(features, w, { tokens, width }) {
    const all = linear(features, w.at(projection).at('proj'), tokens * width, { precise: true });
    return layerNorm(op.reshape(all, [-1, width]), w.at(projection).at('norm'), 1e-5);
  },

  keyValue(tokens, w, layer, { hidden }) {
    const of = (what: 'k' | 'v') =>
      linear(tokens, w.at(`${processor(layer)}_${what}_proj`), hidden, { precise: true });
    return [of('k'), of('v')];
  },
};
