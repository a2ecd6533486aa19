/**
 * Weights in blocks of 32 with a scale each, as the runtime's MatMulNBits takes them: W [N, K] becomes u8
 * [N, K/32, 32·bits/8] and f32 scales [N, K/32] with w = (stored − 2^(bits−1))·scale. ggml's types with such blocks are
 * copied number by number, without rounding; those with a minimum keep it as an offset [N, K/32] that is added to each
 * weight of the block: Σ x·(q·scale + offset) = Σ x·q·scale + offset·Σ x.
 */
import { blockSize } from '../onnx/operators/index.ts';
import { readFloats } from './floats.ts';
import { type BlockTypeName, blockTypes, isBlockType, readGroups } from './ggml-blocks.ts';
import type { Part } from './source.ts';
import { readBytes, type StoredType } from './stored.ts';

export type Bits = 4 | 8;

export type Blocks = { values: Uint8Array; scale: Float32Array; offset: Float32Array | undefined };

const fourBits: readonly StoredType[] = ['Q4_0', 'Q4_1', 'Q4_K'];

/** Whether a tensor's stored blocks are blocks of so many bits already. */
function isExact({ dtype, shape }: Part, bits: Bits): boolean {
  if (!isBlockType(dtype) || shape.at(-1)! % blockSize !== 0) return false;
  return blockTypes[dtype].group === blockSize && (bits === 8 || fourBits.includes(dtype));
}

/** Whether some of these parts' blocks have offsets. */
export function haveOffsets(parts: readonly Part[], bits: Bits): boolean {
  return parts.some((part) => isExact(part, bits) && blockTypes[part.dtype as BlockTypeName].offset);
}

/** @param offsets whether to give offsets, of zero where a part has none */
export function toBlocks(part: Part, bits: Bits, offsets: boolean): Blocks {
  if (isExact(part, bits)) return copyBlocks(part, bits, offsets);
  const blocks = quantizeBlocks(readFloats(part), part.shape.at(-1)!, bits);
  return { ...blocks, offset: offsets ? new Float32Array(blocks.scale.length) : undefined };
}

function copyBlocks(part: Part, bits: Bits, offsets: boolean): Blocks {
  const { q, scale, offset } = readGroups(readBytes(part), part.dtype as BlockTypeName);
  const given = offset ?? (offsets ? new Float32Array(scale.length) : undefined);
  // Types with a minimum count from 0. Half of their range is taken from each number and given to the offset, which is
  // multiplied in f32: four bits hold them only so, and the rounding of activations costs less the smaller they are.
  const lift = offset === undefined ? 0 : fourBits.includes(part.dtype) ? 8 : 16;
  if (lift) for (let b = 0; b < scale.length; b++) given![b] = given![b]! + lift * scale[b]!;
  const values = new Uint8Array((q.length * bits) / 8);
  if (bits === 8) for (let i = 0; i < q.length; i++) values[i] = q[i]! - lift + 128;
  else
    for (let i = 0; i < values.length; i++)
      values[i] = (q[2 * i]! - lift + 8) | ((q[2 * i + 1]! - lift + 8) << 4);
  return { values, scale, offset: given };
}

/**
 * Rounds rows of `inputs` numbers. In four bits the number furthest from zero becomes −8 (ggml's Q4_0), which uses all
 * sixteen steps; in eight it becomes ±127. A last block that is not full is filled with zeros.
 */
export function quantizeBlocks(
  weight: Float32Array,
  inputs: number,
  bits: Bits,
): { values: Uint8Array; scale: Float32Array } {
  const perRow = Math.ceil(inputs / blockSize);
  const rows = weight.length / inputs;
  const values = new Uint8Array((rows * perRow * blockSize * bits) / 8);
  const scale = new Float32Array(rows * perRow);
  const q = new Int16Array(blockSize);
  for (let row = 0; row < rows; row++)
    for (let b = 0; b < perRow; b++) {
      const from = row * inputs + b * blockSize;
      const to = Math.min(from + blockSize, (row + 1) * inputs);
      const block = row * perRow + b;
      scale[block] = quantizeBlock(weight.subarray(from, to), bits, q);
      store(q, values, block, bits);
    }
  return { values, scale };
}

function quantizeBlock(weight: Float32Array, bits: Bits, q: Int16Array): number {
  let furthest = 0;
  for (const value of weight) if (Math.abs(value) > Math.abs(furthest)) furthest = value;
  const scale = Math.fround(bits === 4 ? furthest / -8 : Math.abs(furthest) / 127);
  const inverse = scale === 0 ? 0 : 1 / scale;
  const most = bits === 4 ? 7 : 127;
  q.fill(0);
  weight.forEach((value, i) => {
    q[i] = Math.max(Math.min(Math.round(value * inverse), most), -most - 1);
  });
  return scale;
}

/** Even numbers of a block in the low nibbles, odd ones in the high nibbles. */
function store(q: Int16Array, values: Uint8Array, block: number, bits: Bits): void {
  if (bits === 8) for (let i = 0; i < blockSize; i++) values[block * blockSize + i] = q[i]! + 128;
  else
    for (let i = 0; i < blockSize / 2; i++)
      values[(block * blockSize) / 2 + i] = (q[2 * i]! + 8) | ((q[2 * i + 1]! + 8) << 4);
}
