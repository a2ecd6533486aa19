/**
 * Weights in blocks of 32 with a scale each, as the runtime's MatMulNBits takes them: W [N, K] becomes u8
 * [N, K/32, 32·bits/8] and f32 scales [N, K/32] with w = (stored − 2^(bits−1))·scale. ggml's types with such blocks are
 * copied number by number, without rounding; those with a minimum keep it as an offset [N, K/32] that is added to each
 * weight of the block: Σ x·(q·scale + offset) = Σ x·q·scale + offset·Σ x.
 */
import { blockSize } from '../onnx/operators/index.ts';
import { checkWeights } from './finite.ts';
import { readFloats } from './floats.ts';
import { type BlockTypeName, blockTypes, isBlockType, readGroups } from './ggml-blocks.ts';
import type { TensorEntry } from './stored.ts';
import { readBytes, type StoredType } from './stored.ts';

export type Bits = 4 | 8;

export type Blocks = { values: Uint8Array; scale: Float32Array; offset: Float32Array | undefined };

const fourBits: readonly StoredType[] = ['Q4_0', 'Q4_1', 'Q4_K'];

/** Whether a tensor's stored blocks are blocks of so many bits already. */
function isExact({ dtype, shape, scale }: TensorEntry, bits: Bits): boolean {
  if (!isBlockType(dtype) || scale || shape.at(-1)! % blockSize !== 0) return false;
  return blockTypes[dtype].group === blockSize && (bits === 8 || fourBits.includes(dtype));
}

/** Whether some of these parts' blocks have offsets. */
export function haveOffsets(parts: readonly TensorEntry[], bits: Bits): boolean {
  return parts.some((part) => isExact(part, bits) && blockTypes[part.dtype as BlockTypeName].offset);
}

/**
 * @param offsets whether to give offsets, of zero where a part has none
 * @throws RetouchError `checkpointInvalid` for numbers that are not finite
 */
export function toBlocks(part: TensorEntry, bits: Bits, offsets: boolean): Blocks {
  if (isExact(part, bits)) return copyBlocks(part, bits, offsets);
  const blocks = quantizeBlocks(checkWeights(part, readFloats(part)), part.shape.at(-1)!, bits);
  return { ...blocks, offset: offsets ? new Float32Array(blocks.scale.length) : undefined };
}

function copyBlocks(part: TensorEntry, bits: Bits, offsets: boolean): Blocks {
  const { q, scale, offset } = readGroups(readBytes(part), part.dtype as BlockTypeName);
  checkWeights(part, scale);
  if (offset) checkWeights(part, offset);
  const given = offset ?? (offsets ? new Float32Array(scale.length) : undefined);
  // Types with a minimum count from 0. Half of their range is moved from each number to the offset, which is multiplied
  // in f32: only so they fit four signed bits, and smaller numbers lose less to the rounding of activations.
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
function quantizeBlocks(
  weight: Float32Array,
  inputs: number,
  bits: Bits,
): { values: Uint8Array; scale: Float32Array } {
  const perRow = Math.ceil(inputs / blockSize);
  const rows = weight.length / inputs;
  const values = new Uint8Array((rows * perRow * blockSize * bits) / 8);
  const scale = new Float32Array(rows * perRow);
  const q = new Int16Array(blockSize);
  const [least, most] = bits === 4 ? [-8, 7] : [-127, 127];
  for (let block = 0; block < scale.length; block++) {
    const row = Math.floor(block / perRow);
    const from = row * inputs + (block - row * perRow) * blockSize;
    const count = Math.min(blockSize, (row + 1) * inputs - from);
    let furthest = 0;
    for (let i = from; i < from + count; i++)
      if (Math.abs(weight[i]!) > Math.abs(furthest)) furthest = weight[i]!;
    scale[block] = bits === 4 ? furthest / -8 : Math.abs(furthest) / 127;
    const inverse = scale[block] === 0 ? 0 : 1 / scale[block]!;
    if (count < blockSize) q.fill(0);
    for (let i = 0; i < count; i++) {
      const value = Math.round(weight[from + i]! * inverse);
      q[i] = value < least ? least : value > most ? most : value;
    }
    store(q, values, block, bits);
  }
  return { values, scale };
}

/** Even numbers of a block in the low nibbles, odd ones in the high nibbles. */
function store(q: Int16Array, values: Uint8Array, block: number, bits: Bits): void {
  if (bits === 8) for (let i = 0; i < blockSize; i++) values[block * blockSize + i] = q[i]! + 128;
  else
    for (let i = 0; i < blockSize / 2; i++)
      values[(block * blockSize) / 2 + i] = (q[2 * i]! + 8) | ((q[2 * i + 1]! + 8) << 4);
}
