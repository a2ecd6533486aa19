/**
 * The inputs of IP-Adapters: attention of the network's queries to the tokens of guide images, decoupled from its own
 * attention, with a separate softmax (Ye et al., arXiv 2308.06721).
 */
import { symbol } from '../onnx/dim.ts';
import type { Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { f32Tensor, tensor } from '../onnx/tensor.ts';
import type { ImagePromptPlace, Weights } from '../weights/weights.ts';

/** Names of the inputs: `rows` and `mask` are one for all blocks, `k` and `v` are those of the block at a path. */
export const imagePromptInput = {
  rows: (place: ImagePromptPlace) => `${place}.rows`,
  mask: (place: ImagePromptPlace) => `${place}.mask`,
  k: (block: string, place: ImagePromptPlace) => `${block}.${place}.k`,
  v: (block: string, place: ImagePromptPlace) => `${block}.${place}.v`,
} as const;

const [rows, adapters, tokens] = [symbol('ip_rows'), symbol('ip_adapters'), symbol('ip_tokens')];
const zeros = (dims: number[]) => f32Tensor(new Float32Array(dims.reduce((a, b) => a * b)), dims);

/**
 * base + Σ_a softmax(q·k_a + mask)·v_a over adapters a: base and q [S, H·D]. k [A, H, D, T], scaled by 1/√D, and v [A,
 * H, T, D] are inputs of the graph, the same on every step. In a network compiled without IP-Adapters it is `base`.
 * Idle, k and v are one token of zeros and only the first row of q is multiplied: the resulting row of zeros is added
 * to `base`, which changes no bit.
 *
 * @param w the block, which names the inputs
 */
export function addImagePrompt(base: Var, q: Var, place: ImagePromptPlace, w: Weights, heads: number): Var {
  if (!w.compute.places?.includes(place)) return base;
  const { graph } = w;
  const width = q.dim(1) as number;
  const headDim = width / heads;
  const known = (name: string) => graph.inputs.find((input) => input.name === name);
  const [countName, maskName] = [imagePromptInput.rows(place), imagePromptInput.mask(place)];
  const count =
    known(countName) ?? graph.input(countName, 'i64', [1], tensor('i64', BigInt64Array.of(1n), [1]));
  const mask = known(maskName) ?? graph.input(maskName, 'f32', [adapters, 1, 1, tokens], zeros([1, 1, 1, 1]));
  const input = (name: 'k' | 'v', shape: Var['shape'], idle: number[]) =>
    graph.input(imagePromptInput[name](w.path, place), 'f32', shape, zeros(idle));
  const k = input('k', [adapters, heads, headDim, tokens], [1, heads, headDim, 1]);
  const v = input('v', [adapters, heads, tokens, headDim], [1, heads, 1, headDim]);
  const split = op.reshape(op.takeRows(q, count, rows), [1, rows, heads, headDim]);
  const scores = op.matmul(op.transpose(split, [0, 2, 1, 3]), k); // [A, H, S, T]
  const each = op.matmul(op.softmax(op.add(scores, mask)), v); // [A, H, S, D]
  const sum = op.transpose(op.reduce('ReduceSum', each, 0), [0, 2, 1, 3]); // [1, S, H, D]
  return op.addRows(base, op.reshape(sum, [rows, width]));
}
