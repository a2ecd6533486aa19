/** Products with weights stored in blocks of numbers that share a scale (ONNX Runtime's MatMulNBits). */
import { divideDim } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { matmulTransposed } from './matmul.ts';
import { reduce } from './reduce.ts';
import { reshape } from './shape.ts';

/** Numbers that share a scale. */
export const blockSize = 32;

export type BlockWeights = { values: Var; scale: Var; offset: Var | undefined };

/** Round activations to eight bits, block by block: the integer kernels are half as fast again as those in f32. */
const accuracyLevel = 4;

/**
 * x·Wᵀ for W [N, K] with w = (value − half)·scale + offset: x f32 [S, K], values u8 [N, K/block, bytes] of four or
 * eight bits, scale and offset f32 [N, K/block]. The offset's share is offset·Σ x over the block, in f32.
 */
export function matmulBlocks(x: Var, { values, scale, offset }: BlockWeights): Var {
  const [outputs, perRow, bytes] = values.shape as [number, number, number];
  const inputs = x.dim(1);
  const bits = (8 * bytes) / blockSize;
  if (typeof inputs !== 'number' || Math.ceil(inputs / blockSize) !== perRow || (bits !== 4 && bits !== 8))
    throw graphError(`matmulBlocks: ${x} and ${values} do not multiply`);
  const [product] = x.graph.emit(
    'MatMulNBits',
    [x, values, scale],
    [{ dtype: 'f32', shape: [x.dim(0), outputs] }],
    { K: inputs, N: outputs, bits, block_size: blockSize, accuracy_level: accuracyLevel },
    'com.microsoft',
  );
  if (!offset) return product!;
  if (divideDim(inputs, blockSize) === undefined)
    throw graphError(`matmulBlocks: rows of ${inputs} have offsets and a block that is not full`);
  const blocks = reshape(x, [x.dim(0), perRow, blockSize]);
  const sums = reshape(reduce('ReduceSum', blocks, 2), [x.dim(0), perRow]);
  return x.graph.emit('Add', [product, matmulTransposed(sums, offset)], [product!])[0]!;
}
