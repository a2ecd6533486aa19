/** Scaled dot-product attention over flat heads. */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Compute } from '../weights/weights.ts';

/**
 * softmax(q·kᵀ·scale + bias)·v for every head: q [S, H·D], k and v [T, H·D], with fused kernels also as batches of one,
 * bias [1, H, S, T] or [1, 1, S, T]; gives [S, H·D]. Plain operators compute in f32: only fused kernels were examined in f16.
 */
export function attention(
  q: Var,
  k: Var,
  v: Var,
  heads: number,
  compute: Compute,
  scale?: number,
  bias?: Var,
): Var {
  const width = q.dim(-1) as number;
  const factor = scale ?? 1 / Math.sqrt(width / heads);
  if (!compute.fused)
    return plain([q, k, v], { heads, scale: factor, blocks: compute.queryBlocks ?? 1 }, bias);
  const half = compute.precision === 'f16' && compute.half ? 'f16' : 'f32';
  const [a, b, c] = [q, k, v].map((x) => op.cast(x, half)) as [Var, Var, Var];
  return op.cast(fused(a, b, c, heads, factor, bias && op.cast(bias, half)), 'f32');
}

function fused(q: Var, k: Var, v: Var, heads: number, scale: number, bias?: Var): Var {
  const out = op.multiHeadAttention(batch(q), batch(k), batch(v), heads, scale, bias);
  return op.reshape(out, [q.dim(-2), q.dim(-1)]);
}

function batch(x: Var): Var {
  return x.rank === 3 ? x : op.unsqueeze(x, 0);
}

/** Bytes that one block's scores may take, and as many again their softmax; and the part of the memory that they may take. */
const largestScores = 128 * 2 ** 20;
const shareOfMemory = 1 / 64;

/**
 * Into how many blocks queries are cut so that the scores of one, f32 [H, S/blocks, S], stay small.
 *
 * @param memory bytes that may be used
 */
export function queryBlocks(
  { heads, tokens }: { heads: number; tokens: number },
  memory = Number.POSITIVE_INFINITY,
): number {
  const limit = Math.min(largestScores, memory * shareOfMemory);
  const rows = Math.max(1, Math.floor(limit / (4 * heads * tokens)));
  return Math.ceil(tokens / rows);
}

type PlainOptions = { heads: number; scale: number; blocks: number };

/**
 * Blocks of queries one after the other: a row of scores needs all keys but no other row, so each block's rows are
 * exactly those of the whole, and only one block's scores [H, S/blocks, T] are in memory.
 */
function plain([q, k, v]: [Var, Var, Var], { heads, scale, blocks }: PlainOptions, bias?: Var): Var {
  const width = q.dim(1) as number;
  const split = (x: Var) => op.reshape(x, [x.dim(0), heads, width / heads]); // [S, H, D]
  const query = op.transpose(split(op.mul(q, scale)), [1, 0, 2]); // [H, S, D]
  const key = op.transpose(split(k), [1, 2, 0]); // [H, D, T]
  const value = op.transpose(split(v), [1, 0, 2]); // [H, T, D]
  const biases = bias && op.reshape(bias, bias.shape.slice(1)); // [H or 1, S, T]
  const attend = (rows: Var, added?: Var) => {
    const scores = op.matmul(rows, key);
    return op.matmul(op.softmax(added ? op.add(scores, added) : scores), value);
  };
  const added = biases && op.blocksOf(biases, 1, blocks);
  const parts = op.blocksOf(query, 1, blocks).map((rows, i) => attend(rows, added?.[i])); // [H, S/blocks, D]
  return op.reshape(op.transpose(op.concat(parts, 1), [1, 0, 2]), [q.dim(0), width]);
}
