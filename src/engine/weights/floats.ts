/** Stored floating-point bytes as f32. */
import { EngineError } from '../errors.ts';
import { e4m3, e5m2 } from './float8.ts';
import { blockTypes, dequantize, isBlockType, readGroups } from './ggml-blocks.ts';
import { readBytes, type StoredType, type TensorEntry } from './stored.ts';

/** Decodes little-endian bytes of a floating-point tensor. */
export function toFloats(bytes: Buffer, dtype: StoredType): Float32Array {
  if (dtype === 'F8_E4M3' || dtype === 'F8_E5M2') {
    const table = dtype === 'F8_E4M3' ? e4m3 : e5m2;
    const out = new Float32Array(bytes.length);
    for (let i = 0; i < out.length; i++) out[i] = table[bytes[i]!]!;
    return out;
  }
  if (isBlockType(dtype)) return dequantize(readGroups(bytes, dtype));
  // A copy aligns the view: tensors may start at any byte of a file.
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'F16') return Float32Array.from(new Float16Array(buffer));
  if (dtype === 'BF16') {
    const half = new Uint16Array(buffer);
    const bits = new Uint32Array(half.length);
    for (let i = 0; i < half.length; i++) bits[i] = half[i]! << 16;
    return new Float32Array(bits.buffer);
  }
  throw new EngineError('dtypeUnsupported', `${dtype} is not a weight type this build reads (${readable})`, {
    dtype,
  });
}

/** The types of weights, for messages. */
export const readable = [
  'F32, F16, BF16, F8_E4M3, F8_E5M2, I8 with a scale',
  ...Object.keys(blockTypes),
].join(', ');

export function readFloats(entry: TensorEntry): Float32Array {
  const { dtype, scale } = entry;
  const bytes = readBytes(entry);
  // Integers are weights only with a scale: without one they are of a format that is not known here.
  const values = dtype === 'I8' && scale ? Float32Array.from(new Int8Array(bytes)) : toFloats(bytes, dtype);
  if (!scale) return values;
  const perScale = values.length / scale.length;
  for (const [row, factor] of scale.entries())
    for (let i = row * perScale; i < (row + 1) * perScale; i++) values[i] = values[i]! * factor;
  return values;
}

/** The arrays one after the other; a single one is not copied. */
export function joinFloats(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
