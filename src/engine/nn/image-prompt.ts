/**
 * Where IP-Adapters enter: attention of the network's queries to the tokens of guide pictures, beside its own attention
 * and with a softmax of its own (Ye et al., arXiv 2308.06721).
 */
import { symbol } from '../onnx/dim.ts';
import type { ImagePromptPlace, Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

const [rows, adapters, tokens] = [symbol('ip_rows'), symbol('ip_adapters'), symbol('ip_tokens')];

/**
 * base + Σ_a softmax(q·k_a + mask)·v_a over adapters a: base and q [S, H·D]. k [A, H, D, T], scaled by 1/√D, and v
 * [A, H, T, D] are inputs of the graph, the same on every step. Not compiled into the graph, it is `base`; compiled and
 * unused, k and v are one token of zeros and only the first row of q is multiplied: the row of zeros that comes out is
 * added to `base`, which leaves every bit of it.
 *
 * @param w the block, which names the inputs
 */
export function addImagePrompt(base: Var, q: Var, place: ImagePromptPlace, w: Weights, heads: number): Var {
  if (!w.compute.places?.includes(place)) return base;
  const { graph } = w;
  const width = q.dim(1) as number;
  const headDim = width / heads;
  const slot = { name: `${w.path}.${place}`, place, heads, headDim };
  graph.imagePromptSlots.push(slot);
  const shared = (name: string, dtype: 'f32' | 'i64', shape: Var['shape']) =>
    graph.inputs.find((input) => input.name === name) ?? graph.input(name, dtype, shape);
  const count = shared(`${place}.rows`, 'i64', [1]);
  const mask = shared(`${place}.mask`, 'f32', [adapters, 1, 1, tokens]);
  const k = graph.input(`${slot.name}.k`, 'f32', [adapters, heads, headDim, tokens]);
  const v = graph.input(`${slot.name}.v`, 'f32', [adapters, heads, tokens, headDim]);
  const split = op.reshape(op.takeRows(q, count, rows), [1, rows, heads, headDim]);
  const scores = op.matmul(op.transpose(split, [0, 2, 1, 3]), k); // [A, H, S, T]
  const each = op.matmul(op.softmax(op.add(scores, mask)), v); // [A, H, S, D]
  const sum = op.transpose(op.reduce('ReduceSum', each, 0), [0, 2, 1, 3]); // [1, S, H, D]
  return op.addRows(base, op.reshape(sum, [rows, width]));
}
