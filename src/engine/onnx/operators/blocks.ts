/** Products with weights stored in blocks of numbers that share a scale: ONNX Runtime's MatMulNBits, or eight-bit products. */
import { type Dim, divideDim } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { scalar } from './constant.ts';
import { abs, add, cast, max, mul } from './elementwise.ts';
import { matmulTransposed } from './matmul.ts';
import { type Columns, expand } from './quantized.ts';
import { reduce } from './reduce.ts';
import { concat, reshape, transpose } from './shape.ts';

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
  return add(product!, matmulTransposed(sums, offset));
}

/**
 * Four-bit blocks as eight-bit columns: pieces of W's rows, u4 [n, K] around 8 with scales and offsets f32 [n, K/block]. Each
 * column's largest possible number becomes ±127, so a weight moves by at most 1/254 of it. Computed in the run, 2 to 3 ns a weight.
 */
export function columnsOfBlocks(pieces: readonly BlockWeights[]): Columns {
  const expanded = pieces.map(expandPiece);
  const rows = concat(
    expanded.map(({ rows }) => rows),
    0,
  );
  const columns = concat(
    expanded.map(({ factors }) => factors),
    0,
  );
  return { weight: transpose(rows, [1, 0]), columns };
}

function expandPiece({ values, scale, offset }: BlockWeights): { rows: Var; factors: Var } {
  const { graph, shape } = values;
  const zero = cast(expand(scalar(graph, 8, 'u8'), scale), 'u4');
  const [floats] = graph.emit('DequantizeLinear', [values, scale, zero], [{ dtype: 'f32', shape }], {
    axis: 1,
    block_size: blockSize,
  });
  // A row of zeros has scales of zero.
  const largest = max(mul(reduce('ReduceMax', largestOf(scale, offset), 1), 1 / 127), 1e-30);
  const factors = reshape(largest, [values.dim(0)]);
  const zeros = expand(scalar(graph, 0, 'i8'), factors);
  const weights = offset ? addToBlocks(floats!, offset) : floats!;
  const [rows] = graph.emit('QuantizeLinear', [weights, factors, zeros], [{ dtype: 'i8', shape }], {
    axis: 0,
  });
  return { rows: rows!, factors };
}

/** The largest magnitude that a block's weight can have: four bits reach from −8 to 7. */
function largestOf(scale: Var, offset: Var | undefined): Var {
  if (!offset) return mul(abs(scale), 8);
  return max(abs(add(offset, mul(scale, -8))), abs(add(offset, mul(scale, 7))));
}

/** x [n, K] with offset [n, K/block] added to each number of its block. */
function addToBlocks(x: Var, offset: Var): Var {
  const [rows, perRow] = offset.shape as [Dim, Dim];
  const blocks = reshape(x, [rows, perRow, blockSize]);
  return reshape(add(blocks, reshape(offset, [rows, perRow, 1])), x.shape);
}
