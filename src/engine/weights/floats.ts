/** Stored floating-point bytes as f32. */
import { EngineError } from '../errors.ts';
import { float8, isFloat8 } from './float8.ts';
import { blockTypes, dequantize, isBlockType, readGroups } from './ggml-blocks.ts';
import { readBytes, type StoredType, type TensorEntry } from './stored.ts';

/** Decodes little-endian bytes of a floating-point tensor. */
export function toFloats(bytes: Buffer, dtype: StoredType): Float32Array<ArrayBuffer> {
  if (isFloat8(dtype)) return lookUp(bytes, float8[dtype]);
  if (isBlockType(dtype)) return dequantize(readGroups(bytes, dtype));
  // A copy aligns the view: tensors may start at any byte of a file.
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'F16') {
    const half = new Float16Array(buffer);
    const out = new Float32Array(half.length);
    // Half of the time of copying the array with its own methods.
    for (let i = 0; i < half.length; i++) out[i] = half[i]!;
    return out;
  }
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

function lookUp(codes: Uint8Array, table: Float32Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < out.length; i++) out[i] = table[codes[i]!]!;
  return out;
}

/** The types of weights, for messages. */
export const readable = [
  'F32, F16, BF16, F8_E4M3, F8_E5M2, I8 with a scale',
  ...Object.keys(blockTypes),
].join(', ');

export function readFloats(entry: TensorEntry): Float32Array<ArrayBuffer> {
  const { dtype, scale } = entry;
  const bytes = readBytes(entry);
  // With one scale the numbers of all codes are scaled instead of all weights.
  if (isFloat8(dtype) && scale?.length === 1)
    return lookUp(
      bytes,
      float8[dtype].map((value) => value * scale[0]!),
    );
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
