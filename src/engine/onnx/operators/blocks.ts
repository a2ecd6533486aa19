/** Products with weights stored in blocks of numbers that share a scale: ONNX Runtime's MatMulNBits, or eight-bit products. */
import { divideDim } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { scalar } from './constant.ts';
import { abs, add, cast, max, mul } from './elementwise.ts';
import { matmulTransposed } from './matmul.ts';
import { expand, matmulInteger, quantizeRows } from './quantized.ts';
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
  return offset ? addOffsets(product!, x, offset) : product!;
}

/** Adds to x·Wᵀ the share of the blocks' offsets, offset·Σ x over the block: offset f32 [N, K/block]. */
function addOffsets(product: Var, x: Var, offset: Var): Var {
  const inputs = x.dim(1);
  const perRow = divideDim(inputs, blockSize);
  if (perRow === undefined)
    throw graphError(`matmulBlocks: rows of ${inputs} have offsets and a block that is not full`);
  const blocks = reshape(x, [x.dim(0), perRow, blockSize]);
  const sums = reshape(reduce('ReduceSum', blocks, 2), [x.dim(0), perRow]);
  return add(product, matmulTransposed(sums, offset));
}

/** i8 [K, N], and f32 [N], the factors of its columns. */
export type Columns = { weight: Var; columns: Var };

/**
 * Four-bit blocks as eight-bit columns: pieces of W's rows, u4 [n, K] around 8 with scales f32 [n, K/block]. Each column's
 * largest possible number becomes ±127, so a weight moves by at most 1/254 of it. Computed in the run, 2 to 3 ns a weight.
 */
export function columnsOfBlocks(pieces: readonly { values: Var; scale: Var }[]): Columns {
  const expanded = pieces.map(({ values, scale }) => expandPiece(values, scale));
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

function expandPiece(values: Var, scale: Var): { rows: Var; factors: Var } {
  const { graph, shape } = values;
  const zero = cast(expand(scalar(graph, 8, 'u8'), scale), 'u4');
  const [floats] = graph.emit('DequantizeLinear', [values, scale, zero], [{ dtype: 'f32', shape }], {
    axis: 1,
    block_size: blockSize,
  });
  // Four bits reach from −8 to 7. A row of zeros has scales of zero.
  const largest = max(mul(reduce('ReduceMax', abs(scale), 1), 8 / 127), 1e-30);
  const factors = reshape(largest, [values.dim(0)]);
  const zeros = expand(scalar(graph, 0, 'i8'), factors);
  const [rows] = graph.emit('QuantizeLinear', [floats, factors, zeros], [{ dtype: 'i8', shape }], {
    axis: 0,
  });
  return { rows: rows!, factors };
}

/** x·Wᵀ as `matmulBlocks` gives it, with weights from `columnsOfBlocks` and activations rounded to eight bits row by row. */
export function matmulColumns(x: Var, { weight, columns }: Columns, offset?: Var): Var {
  const { values, scale } = quantizeRows(x);
  const product = mul(matmulInteger(values, weight, columns), scale);
  return offset ? addOffsets(product, x, offset) : product;
}
