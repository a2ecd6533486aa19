/**
 * How a weight is applied to keys and values (ComfyUI_IPAdapter_plus `embeds_scaling`). Its penalty C is the width of a
 * block divided by the width of the widest block. All of FLUX's blocks have one width, so C is 1 and `kv_penalty_c` equals `kv`.
 */

/** Keys and values of the guide's tokens in one block, [T, width] each. */
export type KeyValue = { key: Float32Array; value: Float32Array; width: number };

type Scaling = (kv: KeyValue, weight: number) => KeyValue;

const scaleBoth: Scaling = (kv, w) => ({ ...kv, key: times(kv.key, w), value: times(kv.value, w) });

export const embedScalings = {
  only_v: (kv, w) => ({ ...kv, value: times(kv.value, w) }),
  kv: scaleBoth,
  kv_penalty_c: scaleBoth,
  k_mean_v_penalty_c: (kv, w) => ({ ...kv, key: times(kv.key, w), value: timesMean(kv.value, w, kv.width) }),
} as const satisfies Record<string, Scaling>;

export type EmbedScaling = keyof typeof embedScalings;

function times(x: Float32Array, w: number): Float32Array {
  return x.map((value) => value * w);
}

/** Only the mean over the tokens is multiplied: V − V̄ + w·V̄. */
function timesMean(x: Float32Array, w: number, width: number): Float32Array {
  const mean = new Float64Array(width);
  const tokens = x.length / width;
  for (let i = 0; i < x.length; i++) mean[i % width]! += x[i]! / tokens;
  return x.map((value, i) => value + (w - 1) * mean[i % width]!);
}
