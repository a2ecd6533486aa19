/** Tensors of FLUX.1 Kontext [dev]'s transformer as its published files have them. */

import { fluxDiffusers } from '../../src/engine/weights/dialects/flux.ts';
import { fluxShapes, realWidth } from '../synthetic.ts';
import { constant, type Tensor, tensor, weightStd } from './tensor.ts';

export type Depth = { double: number; single: number };
export const realDepth: Depth = { double: 19, single: 38 };

const { hidden, mlp } = realWidth(1, 1);

/** 1/448 of the largest weight: what ComfyUI's scaled fp8 stores beside a matrix. */
export const fp8Scale = (5 * weightStd) / 448;

/** BFL's single file, in BF16. */
export function transformerBf16({ double, single }: Depth): Tensor[] {
  return [...fluxShapes(realWidth(double, single))].map(([name, shape]) => tensor(name, 'BF16', shape));
}

/** Comfy-Org's flux1-dev-kontext_fp8_scaled: every matrix in eight bits with a scale of itself and one of its input. */
export function transformerFp8(depth: Depth): Tensor[] {
  const tensors = transformerBf16(depth).flatMap((each) => {
    if (each.shape.length === 1) return [each];
    const layer = each.name.replace(/\.weight$/, '');
    return [
      { ...each, dtype: 'F8_E4M3' as const, std: each.std / fp8Scale },
      constant(`${layer}.scale_weight`, fp8Scale),
      constant(`${layer}.scale_input`, 0.05),
    ];
  });
  return [...tensors, { name: 'scaled_fp8', dtype: 'F8_E4M3', shape: [0], mean: 0, std: 0 }];
}

/** The layers that llama.cpp's quantiser leaves unquantised in image models. */
const unquantised = /^(img_in|txt_in|time_in|vector_in|guidance_in|final_layer)\./;

/** QuantStack's files: matrices of the blocks in one type, those of the ends in 16 bits, vectors in F32. */
export function transformerGguf(depth: Depth, dtype: 'Q4_K' | 'Q8_0'): Tensor[] {
  return transformerBf16(depth)
    .map((each): Tensor => {
      if (each.shape.length === 1) return { ...each, dtype: 'F32' };
      if (!unquantised.test(each.name)) return { ...each, dtype };
      return { ...each, dtype: /^(time|guidance)_in/.test(each.name) ? 'BF16' : 'F16' };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** FluxTransformer2DModel: queries, keys, values and the single blocks' MLP are layers of their own. */
export function transformerDiffusers(depth: Depth): Tensor[] {
  const none = new Set<string>();
  return transformerBf16(depth).flatMap((each) => {
    const pieces = fluxDiffusers.locate(each.name, none);
    // Two halves of one stored tensor, swapped.
    if (pieces[0]!.half !== undefined) return [{ ...each, name: pieces[0]!.name }];
    return pieces.map(({ name }) => {
      const rows = pieces.length === 1 ? each.shape[0]! : name.includes('proj_mlp') ? mlp : hidden;
      return { ...each, name, shape: [rows, ...each.shape.slice(1)] };
    });
  });
}
