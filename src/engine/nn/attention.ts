/** Scaled dot-product attention over flat heads. */
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Compute } from '../weights/weights.ts';

/**
 * softmax(q·kᵀ·scale + bias)·v for every head: q [S, H·D], k and v [T, H·D], with fused kernels also as batches of one,
 * bias [1, H, S, T] or [1, 1, S, T]; gives [S, H·D].
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
  const half = compute.precision === 'f16' ? 'f16' : 'f32';
  const [a, b, c] = [q, k, v].map((x) => op.cast(x, half)) as [Var, Var, Var];
  const out = compute.fused
    ? fused(a, b, c, heads, factor, bias && op.cast(bias, half))
    : plain(a, b, c, heads, factor, bias && op.cast(bias, half));
  return op.cast(out, 'f32');
}

function fused(q: Var, k: Var, v: Var, heads: number, scale: number, bias?: Var): Var {
  const out = op.multiHeadAttention(batch(q), batch(k), batch(v), heads, scale, bias);
  return op.reshape(out, [q.dim(-2), q.dim(-1)]);
}

function batch(x: Var): Var {
  return x.rank === 3 ? x : op.unsqueeze(x, 0);
}

function plain(q: Var, k: Var, v: Var, heads: number, scale: number, bias?: Var): Var {
  const width = q.dim(1) as number;
  const split = (x: Var) => op.reshape(x, [x.dim(0), heads, width / heads]); // [S, H, D]
  const query = op.transpose(split(op.mul(q, scale)), [1, 0, 2]); // [H, S, D]
  const key = op.transpose(split(k), [1, 2, 0]); // [H, D, T]
  const value = op.transpose(split(v), [1, 0, 2]); // [H, T, D]
  const scores = op.matmul(query, key); // [H, S, T]
  const weights = op.softmax(bias ? op.add(scores, op.reshape(bias, bias.shape.slice(1))) : scores);
  return op.reshape(op.transpose(op.matmul(weights, value), [1, 0, 2]), [q.dim(0), width]);
}
