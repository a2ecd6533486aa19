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
import { bitsOf, indexOfLargest } from './magnitudes.ts';
import { roundHalfUp } from './rounding.ts';
import type { TensorEntry } from './stored.ts';
import { readBytes, type StoredType } from './stored.ts';

export type Bits = 4 | 8;

export type Blocks = {
  values: Uint8Array<ArrayBuffer>;
  scale: Float32Array<ArrayBuffer>;
  offset: Float32Array<ArrayBuffer> | undefined;
};

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

/** @param offsets whether to give offsets, of zero where a part has none */
export function emptyBlocks(count: number, bits: Bits, offsets: boolean): Blocks {
  return {
    values: new Uint8Array((count * blockSize * bits) / 8),
    scale: new Float32Array(count),
    offset: offsets ? new Float32Array(count) : undefined,
  };
}

/**
 * Writes the blocks of the rows in `part`, of which the first is row `row`.
 *
 * @throws RetouchError `checkpointInvalid` for numbers that are not finite
 */
export function placeBlocks(blocks: Blocks, part: TensorEntry, row: number): void {
  const inputs = part.shape.at(-1)!;
  const perRow = Math.ceil(inputs / blockSize);
  const bits = ((blocks.values.length / blocks.scale.length / blockSize) * 8) as Bits;
  const first = row * perRow;
  if (isExact(part, bits)) copyBlocks(blocks, part, first);
  else {
    const weight = checkWeights(part, readFloats(part));
    const quantize = bits === 4 ? quantizeToFour : quantizeToEight;
    quantize(blocks, inputs % blockSize === 0 ? weight : fillBlocks(weight, inputs), first);
  }
}

/** @param first the first block's place in `blocks` */
function copyBlocks(blocks: Blocks, part: TensorEntry, first: number): void {
  const { q, scale, offset } = readGroups(readBytes(part), part.dtype as BlockTypeName);
  checkWeights(part, scale);
  if (offset) checkWeights(part, offset);
  // Types with a minimum count from 0. Half of their range is moved from each number to the offset, which is multiplied
  // in f32: only so they fit four signed bits, and smaller numbers lose less to the rounding of activations.
  const lift = offset === undefined ? 0 : fourBits.includes(part.dtype) ? 8 : 16;
  if (offset)
    for (let b = 0; b < scale.length; b++) blocks.offset![first + b] = offset[b]! + lift * scale[b]!;
  blocks.scale.set(scale, first);
  const { values } = blocks;
  if (values.length === blocks.scale.length * blockSize) {
    const at = first * blockSize;
    for (let i = 0; i < q.length; i++) values[at + i] = q[i]! - lift + 128;
  } else {
    const at = (first * blockSize) / 2;
    for (let i = 0; i < q.length / 2; i++)
      values[at + i] = (q[2 * i]! - lift + 8) | ((q[2 * i + 1]! - lift + 8) << 4);
  }
}

/** Rows that do not end with a block, filled with zeros until they do. */
function fillBlocks(weight: Float32Array, inputs: number): Float32Array {
  const rows = weight.length / inputs;
  const filled = Math.ceil(inputs / blockSize) * blockSize;
  const out = new Float32Array(rows * filled);
  for (let row = 0; row < rows; row++)
    out.set(weight.subarray(row * inputs, (row + 1) * inputs), row * filled);
  return out;
}

/**
 * The number of each block that is furthest from zero becomes −8 (ggml's Q4_0), which uses all sixteen steps. Even numbers
 * are in the low nibbles, odd ones in the high nibbles.
 */
function quantizeToFour({ values, scale }: Blocks, weight: Float32Array, first: number): void {
  const bits = bitsOf(weight);
  for (let block = 0; block < weight.length / blockSize; block++) {
    const from = block * blockSize;
    // Zeros of either sign give the same scale, so that the file does not depend on them.
    const furthest = weight[indexOfLargest(bits, from, from + blockSize)]! || 0;
    scale[first + block] = furthest / -8;
    const inverse = inverseOf(scale[first + block]!);
    const at = ((first + block) * blockSize) / 2;
    for (let i = 0; i < blockSize / 2; i++) {
      const low = roundWithin(weight[from + 2 * i]! * inverse, -8, 7) + 8;
      const high = roundWithin(weight[from + 2 * i + 1]! * inverse, -8, 7) + 8;
      values[at + i] = low | (high << 4);
    }
  }
}

/** The number of each block that is furthest from zero becomes ±127. */
function quantizeToEight({ values, scale }: Blocks, weight: Float32Array, first: number): void {
  const bits = bitsOf(weight);
  for (let block = 0; block < weight.length / blockSize; block++) {
    const from = block * blockSize;
    scale[first + block] = Math.abs(weight[indexOfLargest(bits, from, from + blockSize)]!) / 127;
    const inverse = inverseOf(scale[first + block]!);
    const at = (first + block) * blockSize;
    for (let i = 0; i < blockSize; i++)
      values[at + i] = roundWithin(weight[from + i]! * inverse, -127, 127) + 128;
  }
}

function inverseOf(scale: number): number {
  return scale === 0 ? 0 : 1 / scale;
}

/** Scales below 1.2e-38 are rounded so coarsely that numbers may be out of range. */
function roundWithin(value: number, least: number, most: number): number {
  const rounded = roundHalfUp(value);
  return rounded < least ? least : rounded > most ? most : rounded;
}
