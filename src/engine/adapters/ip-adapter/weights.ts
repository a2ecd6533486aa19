/**
 * How strongly each block attends to the guide images. The shapes are those of ComfyUI_IPAdapter_plus, made for the
 * cross-attentions of a UNet; over FLUX's blocks its input, middle and output are the thirds (docs/guide/ip-adapters.md).
 */

/** w: the requested weight; wc: the weight of the composition; i of n: the block. */
type Shape = (w: number, wc: number, i: number, n: number) => number;

export const weightTypes = {
  normal: (w) => w,
  ease_in: (w, _, i, n) => w * (0.05 + 0.95 * (1 - i / n)),
  ease_out: (w, _, i, n) => w * (0.05 + 0.95 * (i / n)),
  ease_in_out: (w, _, i, n) => w * (0.05 + 0.95 * (1 - Math.abs(i - n / 2) / (n / 2))),
  weak_input: (w, _, i, n) => (third(i, n) === 0 ? 0.2 * w : w),
  weak_output: (w, _, i, n) => (third(i, n) === 2 ? 0.2 * w : w),
  weak_middle: (w, _, i, n) => (third(i, n) === 1 ? 0.2 * w : w),
  strong_middle: (w, _, i, n) => (third(i, n) === 1 ? w : 0.2 * w),
  style_transfer: (w, _, i, n) => (third(i, n) === 0 ? 0 : w),
  composition: (w, _, i, n) => (third(i, n) === 0 ? w : 0),
  strong_style_transfer: (w, _, i, n) => (isHeart(i, n) ? 0 : w),
  style_and_composition: (w, wc, i, n) => (third(i, n) === 0 ? wc : w),
  strong_style_and_composition: (w, wc, i, n) => (isHeart(i, n) ? wc : w),
} as const satisfies Record<string, Shape>;

export type WeightType = keyof typeof weightTypes;

/** Weights of `layers` blocks. */
export function layerWeights(
  type: WeightType,
  { weight, composition }: { weight: number; composition: number },
  layers: number,
): number[] {
  return Array.from({ length: layers }, (_, i) => weightTypes[type](weight, composition, i, layers));
}

/** 0, 1, 2: 7, 6 and 6 of 19 blocks. */
function third(i: number, n: number): 0 | 1 | 2 {
  if (i < Math.ceil(n / 3)) return 0;
  return i < Math.ceil((2 * n) / 3) ? 1 : 2;
}

/** The middle third of the first third, as the one block among eleven that holds SDXL's composition. */
function isHeart(i: number, n: number): boolean {
  const first = Math.ceil(n / 3);
  return i >= Math.floor(first / 3) && i < Math.ceil((2 * first) / 3);
}
