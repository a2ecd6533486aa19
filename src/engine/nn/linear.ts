/** Linear layers, the one place where LoRA and reduced precision enter. */
import { scaleDim, symbol } from '../onnx/dim.ts';
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { KroneckerForm, Weights } from '../weights/weights.ts';

export type LinearOptions = {
  bias?: boolean;
  /** Stays f32 in a network of reduced precision: the thin layers at its ends, where it costs quality and saves nothing. */
  precise?: boolean;
};

/** x·Wᵀ + b with W [N, K] as torch.nn.Linear stores it: [S, K] gives [S, N]. */
export function linear(x: Var, w: Weights, outputs: number, options: LinearOptions = {}): Var {
  const inputs = x.dim(1);
  if (x.rank !== 2 || typeof inputs !== 'number') throw graphError(`linear ${w.path}: ${x} is not [S, K]`);
  const bias = options.bias === false ? undefined : op.reshape(w.tensor('bias', [outputs]), [1, outputs]);
  const delta = loraDelta(x, w, inputs, outputs, bias, options);
  const form = w.compute.forms?.get(w.path);
  let y = product(x, w, inputs, outputs, options);
  if (form?.scaled) y = op.mul(y, w.graph.input(`${w.path}.scale`, 'f32', [1, outputs]));
  y = op.addRows(y, delta);
  for (const [i, kronecker] of (form?.kroneckers ?? []).entries())
    y = op.add(y, kroneckerDelta(x, w, i, outputs, kronecker));
  return y;
}

function product(x: Var, w: Weights, inputs: number, outputs: number, { precise }: LinearOptions): Var {
  const reduced = precise ? undefined : w.reduced('weight', outputs, inputs);
  if (reduced?.form === 'columns') {
    const { values, scale } = op.quantizeRows(x);
    return op.mul(op.matmulInteger(values, reduced.values, reduced.columns), scale);
  }
  if (reduced) return op.matmulBlocks(x, reduced);
  if (w.compute.product === 'f16' && !precise) {
    const weight = w.tensor('weight', [outputs, inputs], 'f16');
    return op.cast(op.matmulTransposed(op.cast(x, 'f16'), weight), 'f32');
  }
  return op.matmulTransposed(x, w.tensor('weight', [outputs, inputs]));
}

/**
 * The low-rank update x·A·B with A [K, r] and B [r, N] fed at run time (Hu et al., arXiv 2106.09685), so that weights are
 * never merged, and the bias. Unused, r is 0 and only the first row of x is multiplied: what comes out is the bias
 * [1, N], and the layer costs what it would without LoRA. Used, the bias is B's last row and meets a column of ones, which
 * saves a pass over [S, N].
 */
function loraDelta(
  x: Var,
  w: Weights,
  inputs: number,
  outputs: number,
  bias: Var | undefined,
  { precise = false }: LinearOptions,
): Var {
  const { graph } = w;
  const rows =
    graph.inputs.find((input) => input.name === 'lora_rows') ?? graph.input('lora_rows', 'i64', [1]);
  const rank = symbol(`${w.path}.rank`);
  graph.loraSlots.push({ name: w.path, inputs, outputs, precise });
  const a = graph.input(`${w.path}.lora_a`, 'f32', [inputs, rank]);
  const b = graph.input(`${w.path}.lora_b`, 'f32', [rank, outputs]);
  const low = op.matmul(op.takeRows(x, rows, symbol('lora')), a);
  if (!bias) return op.matmulThin(low, b);
  return op.matmulThin(op.padColumns(low, 0, 1, 1), op.concat([b, bias], 0));
}

/**
 * x·(left ⊗ right)ᵀ without the product of the two (LoKr, Yeh et al., arXiv 2309.14859): a row of x is a matrix [b, d],
 * of which it is left·X·rightᵀ, [a, c].
 */
function kroneckerDelta(
  x: Var,
  w: Weights,
  index: number,
  outputs: number,
  { a, b, c, d, segments }: KroneckerForm,
): Var {
  const left = w.graph.input(`${w.path}.kronecker_${index}_left`, 'f32', [a, b]);
  const right = w.graph.input(`${w.path}.kronecker_${index}_right`, 'f32', [d, c]);
  const tokens = x.dim(0);
  const inner = op.matmul(op.reshape(x, [scaleDim(tokens, b), d]), right); // [S·b, c]
  const outer = op.matmul(left, op.reshape(inner, [tokens, b, c])); // [S, a, c]
  const pieces = op.split(
    op.reshape(outer, [tokens, a * c]),
    segments.map(({ count }) => count),
    1,
  );
  return segments
    .map(({ at, count }, i) => op.padColumns(pieces[i]!, at, outputs - at - count))
    .reduce((sum, piece) => op.add(sum, piece));
}
