/** Stored floating-point bytes as f32. */
import { RetouchError } from '../../error.ts';
import { readBytes, type TensorEntry } from './safetensors.ts';

/** Decodes little-endian bytes of an F32, F16 or BF16 tensor. */
export function toFloats(bytes: Buffer, dtype: TensorEntry['dtype']): Float32Array {
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
  throw new RetouchError(
    'dtypeUnsupported',
    `${dtype} is not a weight type this build reads (F32, F16, BF16)`,
    { dtype },
  );
}

export function readFloats(entry: TensorEntry): Float32Array {
  return toFloats(readBytes(entry), entry.dtype);
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
