const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The bfloat16 nearest to a number (ties to even), as torch's `.to(torch.bfloat16)` rounds; the number goes through f32 first. */
export function roundToBfloat16(value: number): number {
  float[0] = value;
  const word = bits[0]!;
  if ((word & 0x7fffffff) > 0x7f800000) return Number.NaN;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return float[0]!;
}
