/**
 * Weights that TensorFlow.js stored in eight bits (value = byte·scale + min, one pair per tensor) as safetensors. The
 * bytes stay what they are; `NAME.affine` holds scale and min. Layouts become torch's: [kh, kw, in, out] kernels
 * [out, in, kh, kw], depthwise [kh, kw, C, 1] kernels [C, 1, kh, kw], dense [in, out] matrices [out, in].
 */
import fs from 'node:fs';

export type Spec = {
  name: string;
  shape: number[];
  dtype: string;
  quantization?: { dtype: string; scale: number; min: number };
};

type Stored = { name: string; dtype: 'U8' | 'F32'; shape: number[]; bytes: Uint8Array };

/** `data`: the tensors of `specs`, one after the other. Tensors that `keep` rejects are omitted. */
export function convert(specs: Spec[], data: Uint8Array, keep: (name: string) => boolean): Stored[] {
  const tensors: Stored[] = [];
  let at = 0;
  for (const { name: stored, shape, dtype, quantization } of specs) {
    const count = shape.reduce((a, b) => a * b, 1);
    const width = quantization ? 1 : 4;
    const bytes = data.subarray(at, (at += count * width));
    if (!keep(stored)) continue;
    if (dtype !== 'float32' || (quantization && quantization.dtype !== 'uint8'))
      throw new Error(`${stored} is ${dtype}, quantised to ${quantization?.dtype}`);
    const name = stored.replaceAll('/', '.');
    if (!quantization) {
      tensors.push({ name, dtype: 'F32', shape, bytes });
      continue;
    }
    tensors.push({ name, dtype: 'U8', ...toTorch(stored, shape, bytes) });
    const affine = Float32Array.of(quantization.scale, quantization.min);
    tensors.push({ name: `${name}.affine`, dtype: 'F32', shape: [2], bytes: new Uint8Array(affine.buffer) });
  }
  if (at !== data.length) throw new Error(`${data.length} bytes of weights, ${at} are described`);
  return tensors;
}

function toTorch(name: string, shape: number[], bytes: Uint8Array): { shape: number[]; bytes: Uint8Array } {
  if (shape.length === 2) return permute(shape, bytes, [1, 0]);
  if (shape.length !== 4) return { shape, bytes };
  return permute(shape, bytes, /depthwise_(weights|kernel)$/.test(name) ? [2, 3, 0, 1] : [3, 2, 0, 1]);
}

function permute(shape: number[], bytes: Uint8Array, order: number[]): { shape: number[]; bytes: Uint8Array } {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const to = order.map((axis) => shape[axis]!);
  const out = new Uint8Array(bytes.length);
  const position = to.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = bytes[position.reduce((sum, p, axis) => sum + p * strides[order[axis]!]!, 0)]!;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      if (++position[axis]! < to[axis]!) break;
      position[axis] = 0;
    }
  }
  return { shape: to, bytes: out };
}

/** Floats first, which keeps them aligned. */
export function writeSafetensors(file: string, tensors: Stored[], metadata: Record<string, string>): void {
  const sorted = [...tensors].sort((a, b) => a.dtype.localeCompare(b.dtype) || a.name.localeCompare(b.name));
  const table: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, bytes } of sorted)
    table[name] = { dtype, shape, data_offsets: [end, (end += bytes.length)] };
  const text = JSON.stringify(table);
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  fs.writeFileSync(file, Buffer.concat([length, header, ...sorted.map(({ bytes }) => bytes)]));
}
