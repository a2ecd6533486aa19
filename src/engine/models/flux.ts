/**
 * FLUX.1 (Black Forest Labs, 2024; FLUX.1 Kontext, arXiv 2506.15742): flux/model.py, flux/modules/layers.py.
 * Tokens are matrices [S, D]: a pass edits one image. The forward pass, which flux-segments.ts cuts into graphs:
 *
 *   vec = conditioning(t, g, y)
 *   img, txt = embedImage(img), embedText(txt)           target and references [L + R, D], text [T, D]
 *   img, txt = doubleBlock(img, txt, vec, pe)            depth times
 *   x = singleBlock([txt | img], vec, pe)                depthSingle times
 *   velocity = finalLayer(x without the text and the references, vec)
 */
import { attention } from '../nn/attention.ts';
import { inBands } from '../nn/bands.ts';
import { mlpEmbedder } from '../nn/embedding.ts';
import { addImagePrompt } from '../nn/image-prompt.ts';
import { withKeptReferences } from '../nn/kept-references.ts';
import { linear, linearParts } from '../nn/linear.ts';
import { modulatedNorm, rmsNorm } from '../nn/norm.ts';
import { applyRope } from '../nn/rope.ts';
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';
import type { FluxConfig } from './flux-config.ts';

export type Rotary = { cos: Var; sin: Var };

/** vec = time_in(t) + guidance_in(g) + vector_in(y): t and g are sinusoids [1, 256], y [1, vecIn]; gives [1, D]. */
export function conditioning(t: Var, g: Var | undefined, y: Var, w: Weights, { hidden }: FluxConfig): Var {
  let vec = mlpEmbedder(t, w.at('time_in'), hidden);
  if (g) vec = op.add(vec, mlpEmbedder(g, w.at('guidance_in'), hidden));
  return op.add(vec, mlpEmbedder(y, w.at('vector_in'), hidden));
}

export function embedImage(img: Var, w: Weights, { hidden }: FluxConfig): Var {
  return linear(img, w.at('img_in'), hidden, { precise: true });
}

export function embedText(txt: Var, w: Weights, { hidden }: FluxConfig): Var {
  return linear(txt, w.at('txt_in'), hidden, { precise: true });
}

/** SiLU, Linear: `parts` vectors side by side, [1, parts·D]. A double block has 6 for either stream. */
export function modulation(vec: Var, w: Weights, parts: number, { hidden }: FluxConfig): Var {
  return linear(op.silu(vec), w, parts * hidden);
}

/** Vectors side by side as many vectors [1, D]: shift, scale and gate, once or twice. */
export function splitModulation(joined: Var, { hidden }: FluxConfig): Var[] {
  return op.split(joined, Array((joined.dim(1) as number) / hidden).fill(hidden), 1);
}

/** q and k [S, D], normalised per head. */
function normalizedQk(q: Var, k: Var, norm: Weights, { hidden, heads }: FluxConfig): [Var, Var] {
  const headDim = hidden / heads;
  const perHead = (x: Var, name: string) => {
    const split = op.reshape(x, [x.dim(0), heads, headDim]);
    return op.reshape(rmsNorm(split, norm.tensor(`${name}.scale`, [headDim])), x.shape);
  };
  return [perHead(q, 'query_norm'), perHead(k, 'key_norm')];
}

/**
 * img [L, D] and txt [T, D] attend to each other and are updated separately.
 *
 * @param imgMod the image stream's modulation where another graph has computed it, [1, 6·D]
 */
export function doubleBlock(
  img: Var,
  txt: Var,
  vec: Var,
  pe: Rotary,
  w: Weights,
  config: FluxConfig,
  imgMod = modulation(vec, w.at('img_mod.lin'), 6, config),
): [Var, Var] {
  const { hidden, heads, mlp, qkvBias } = config;
  const streams = { img, txt };
  const mods = {
    img: splitModulation(imgMod, config),
    txt: splitModulation(modulation(vec, w.at('txt_mod.lin'), 6, config), config),
  };
  const qkv = (s: 'img' | 'txt') => {
    const [shift1, scale1] = mods[s] as [Var, Var];
    return inBands([streams[s]], w.compute, ([rows]) => {
      const x = modulatedNorm(rows!, shift1, scale1);
      const parts = linearParts(x, w.at(`${s}_attn.qkv`), [hidden, hidden, hidden], { bias: qkvBias });
      const [q, k, v] = parts as [Var, Var, Var];
      return [...normalizedQk(q, k, w.at(`${s}_attn.norm`), config), v];
    });
  };
  const [imgQ, imgK, imgV] = qkv('img') as [Var, Var, Var];
  const [txtQ, txtK, txtV] = qkv('txt') as [Var, Var, Var];
  const q = applyRope(op.concat([txtQ, imgQ], 0), pe, heads, w.compute);
  const k = applyRope(op.concat([txtK, imgK], 0), pe, heads, w.compute);
  const [keys, values] = withKeptReferences(k, op.concat([txtV, imgV], 0), w);
  const attn = attention(q, keys, values, heads, w.compute);
  const [txtAttn, imgAttn] = op.splitRows(attn, txt);
  // IP-Adapters use the queries before their rotation: guide images have no position in the image.
  const guided = addImagePrompt(imgAttn, imgQ, 'attention', w, heads);
  const update = (s: 'img' | 'txt', attn: Var) => {
    const [, , gate1, shift2, scale2, gate2] = mods[s] as [Var, Var, Var, Var, Var, Var];
    const [out] = inBands([streams[s], attn], w.compute, ([stream, attn]) => {
      const x = op.add(stream!, op.mul(gate1, linear(attn!, w.at(`${s}_attn.proj`), hidden)));
      const h = linear(modulatedNorm(x, shift2, scale2), w.at(`${s}_mlp.0`), mlp);
      return [op.add(x, op.mul(gate2, linear(op.gelu(h, 'tanh'), w.at(`${s}_mlp.2`), hidden)))];
    });
    return out!;
  };
  const out = addImagePrompt(update('img', guided), imgQ, 'residual', w, heads);
  return [out, update('txt', txtAttn)];
}

/** One stream x = [txt | img] of [S, D]; attention and MLP in parallel. */
export function singleBlock(x: Var, vec: Var, pe: Rotary, w: Weights, config: FluxConfig): Var {
  const { hidden, heads, mlp } = config;
  const modulated = modulation(vec, w.at('modulation.lin'), 3, config);
  const [shift, scale, gate] = splitModulation(modulated, config) as [Var, Var, Var];
  const parts = [hidden, hidden, hidden, mlp];
  const joined = inBands([x], w.compute, ([rows]) => {
    const split = linearParts(modulatedNorm(rows!, shift, scale), w.at('linear1'), parts);
    const [q, k, v, h] = split as [Var, Var, Var, Var];
    return [...normalizedQk(q, k, w.at('norm'), config), v, op.gelu(h, 'tanh')];
  });
  const [q, k, v, h] = joined as [Var, Var, Var, Var];
  const [keys, values] = withKeptReferences(applyRope(k, pe, heads, w.compute), v, w);
  const attn = attention(applyRope(q, pe, heads, w.compute), keys, values, heads, w.compute);
  const guided = addImagePrompt(attn, q, 'attention', w, heads);
  const [out] = inBands([x, guided, h], w.compute, ([rows, attn, h]) => [
    op.add(rows!, op.mul(gate, linear(op.concat([attn!, h!], 1), w.at('linear2'), hidden))),
  ]);
  return out!;
}

/** The velocity of packed latents: [L, D] gives [L, outChannels]. */
export function finalLayer(img: Var, vec: Var, w: Weights, { hidden, outChannels }: FluxConfig): Var {
  const modulated = linear(op.silu(vec), w.at('final_layer.adaLN_modulation.1'), 2 * hidden, {
    precise: true,
  });
  const [shift, scale] = op.split(modulated, [hidden, hidden], 1) as [Var, Var];
  return linear(modulatedNorm(img, shift, scale), w.at('final_layer.linear'), outChannels, { precise: true });
}
