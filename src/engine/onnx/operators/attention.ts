/** ONNX Runtime's fused attention and rotary embedding (domain com.microsoft). */
import { dimsEqual } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { i64 } from './constant.ts';

/** softmax(q·kᵀ·scale)·v per head: q [1, S, H·D], k and v [1, T, H·D] give [1, S, H·D]. */
export function multiHeadAttention(q: Var, k: Var, v: Var, heads: number, scale: number, bias?: Var): Var {
  if (q.rank !== 3 || !dimsEqual(k.dim(1), v.dim(1)) || !dimsEqual(q.dim(2), k.dim(2)))
    throw graphError(`multiHeadAttention: ${q}, ${k} and ${v} do not fit`);
  const inputs = [q, k, v, undefined, undefined, bias];
  const attributes = { num_heads: heads, scale: { float: scale } };
  return q.graph.emit('MultiHeadAttention', inputs, [q], attributes, 'com.microsoft')[0]!;
}

/**
 * Rotates the pairs (x[2j], x[2j+1]) of every head: x [1, S, H·D], cos and sin [S, D/2].
 * Source: ONNX Runtime contrib operators, com.microsoft.RotaryEmbedding with interleaved = 1.
 */
export function rotaryEmbedding(x: Var, cos: Var, sin: Var, heads: number): Var {
  if (x.rank !== 3 || !dimsEqual(x.dim(1), cos.dim(0)) || !dimsEqual(cos.dim(1), sin.dim(1)))
    throw graphError(`rotaryEmbedding: ${x} with ${cos} and ${sin}`);
  const start = i64(x.graph, [0], [1]);
  const attributes = { interleaved: 1, num_heads: heads };
  return x.graph.emit('RotaryEmbedding', [x, start, cos, sin], [x], attributes, 'com.microsoft')[0]!;
}
