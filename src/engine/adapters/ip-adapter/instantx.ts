/**
 * InstantX's IP-Adapter (InstantX/FLUX.1-dev-IP-Adapter `MLPProjModel`, `IPAFluxAttnProcessor2_0`): SigLIP's features,
 * 128 tokens, every block. Its file holds the double blocks first, numbered through.
 */
import { linear } from '../../nn/linear.ts';
import { layerNorm, rmsNorm } from '../../nn/norm.ts';
import type { Var } from '../../onnx/graph.ts';
import * as op from '../../onnx/operators/index.ts';
import { prefixed } from '../../weights/dialects/index.ts';
import type { IpAdapterFormat } from './format.ts';

export const instantx: IpAdapterFormat = {
  name: 'InstantX',
  dialects: [prefixed('instantx', '', 'image_proj.proj.2.weight')],
  place: 'attention',
  blocks: 'all',

  configure(source) {
    const [rows] = source.shape('image_proj.proj.2.weight') as [number];
    const [, features] = source.shape('image_proj.proj.0.weight') as [number, number];
    const [width] = source.shape('image_proj.norm.weight') as [number];
    const [hidden] = source.shape('ip_adapter.0.to_k_ip.weight') as [number];
    const layers = source.count('ip_adapter', 'to_k_ip.weight');
    return { features, tokens: rows / width, width, hidden, layers };
  },

  project(features, w, { tokens, width }) {
    const at = w.at('image_proj');
    const inner = at.source.shape(at.name('proj.0.weight'))[0]!;
    const h = op.gelu(linear(features, at.at('proj.0'), inner, { precise: true }), 'none');
    const all = linear(h, at.at('proj.2'), tokens * width, { precise: true });
    return layerNorm(op.reshape(all, [-1, width]), at.at('norm'), 1e-5);
  },

  keyValue(tokens, w, layer, { hidden }, headDim) {
    const ones = op.constant.filled(w.graph, 1, headDim, 'f32');
    const of = (what: 'k' | 'v') => {
      const at = w.at('ip_adapter').at(layer).at(`to_${what}_ip`);
      return perHead(linear(tokens, at, hidden, { bias: false, precise: true }), ones);
    };
    return [of('k'), of('v')];
  },
};

/** RMSNorm of every head without a learned scale; values too, unlike the transformer's own. */
function perHead(x: Var, ones: Var): Var {
  const headDim = ones.dim(0) as number;
  const split = op.reshape(x, [x.dim(0), (x.dim(1) as number) / headDim, headDim]);
  return op.reshape(rmsNorm(split, ones, 1e-5), x.shape);
}
