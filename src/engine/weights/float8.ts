/**
 * Eight-bit floats (Micikevicius et al., arXiv 2209.05433): E4M3 has no infinity and one NaN of each sign
 * (torch.float8_e4m3fn), E5M2 is the upper half of an f16 (torch.float8_e5m2).
 */

/** The values of all 256 codes. Without the sign, 0x80, codes are in the order of magnitudes. */
export const e4m3 = Float32Array.from({ length: 256 }, (_, code) => {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >> 3) & 0x0f;
  const mantissa = code & 0x07;
  if ((code & 0x7f) === 0x7f) return Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
});

export const e5m2 = Float32Array.from(
  new Float16Array(Uint16Array.from({ length: 256 }, (_, code) => code << 8).buffer),
);

export const float8 = { F8_E4M3: e4m3, F8_E5M2: e5m2 } as const;

export function isFloat8(dtype: string): dtype is keyof typeof float8 {
  return Object.hasOwn(float8, dtype);
}
