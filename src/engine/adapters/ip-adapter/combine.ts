/** How several guide images become one, before they are projected to tokens (ComfyUI_IPAdapter_plus `combine_embeds`). */

type Combination = (features: readonly Float32Array[]) => Float32Array[];

export const combineMethods = {
  /** Each image has its own tokens. */
  concat: (features) => [...features],
  add: (features) => [sum(features)],
  /** The first without the mean of the others. */
  subtract: ([first, ...others]) => {
    const rest = sum(others);
    return [first!.map((value, i) => value - rest[i]! / others.length)];
  },
  average: (features) => [sum(features).map((value) => value / features.length)],
  /**
   * The norm is taken over the images, not over one image's features, as in the reference and in other implementations
   * of it.
   */
  norm_average: (features) => {
    const squares = sum(features.map((each) => each.map((value) => value ** 2)));
    const unit = features.map((each) => each.map((value, i) => value / (Math.sqrt(squares[i]!) || 1)));
    return [sum(unit).map((value) => value / features.length)];
  },
} as const satisfies Record<string, Combination>;

export type CombineMethod = keyof typeof combineMethods;

/** Combines encoded images before the projection. Every method leaves a single image unchanged. */
export function combine(features: readonly Float32Array[], method: CombineMethod): Float32Array[] {
  return features.length > 1 ? combineMethods[method](features) : [...features];
}

function sum(features: readonly Float32Array[]): Float32Array {
  const total = new Float32Array(features[0]!.length);
  for (const each of features) for (let i = 0; i < each.length; i++) total[i]! += each[i]!;
  return total;
}
