/** Linear layers, the one place where LoRA and reduced precision enter. */
import { symbol } from '../onnx/dim.ts';
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

export type LinearOptions = {
  bias?: boolean;
  /** Stays f32 in a network of reduced precision: the thin layers at its ends, where it costs quality and saves nothing. */
  precise?: boolean;
};

/** x·Wᵀ + b with W [N, K] as torch.nn.Linear stores it: [S, K] gives [S, N]. */
export function linear(x: Var, w: Weights, outputs: number, options: LinearOptions = {}): Var {
  const inputs = x.dim(1);
  if (x.rank !== 2 || typeof inputs !== 'number') throw graphError(`linear ${w.path}: ${x} is not [S, K]`);
  const delta = loraDelta(x, w, inputs, outputs, options);
  const bias = options.bias === false ? undefined : op.reshape(w.tensor('bias', [outputs]), [1, outputs]);
  return op.addRows(product(x, w, inputs, outputs, options), bias ? op.add(bias, delta) : delta);
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
 * The low-rank update x·A·B with A [K, r] and B [r, N] fed at run time (Hu et al., arXiv 2106.09685), so that
 * weights are never merged. Unused, r is 0 and only the first row of x is multiplied: the zeros [1, N] that come
 * out join the bias, and the layer costs what it would without LoRA.
 */
function loraDelta(
  x: Var,
  w: Weights,
  inputs: number,
  outputs: number,
  { precise = false }: LinearOptions,
): Var {
  const { graph } = w;
  const rows =
    graph.inputs.find((input) => input.name === 'lora_rows') ?? graph.input('lora_rows', 'i64', [1]);
  const rank = symbol(`${w.path}.rank`);
  graph.loraSlots.push({ name: w.path, inputs, outputs, precise });
  const a = graph.input(`${w.path}.lora_a`, 'f32', [inputs, rank]);
  const b = graph.input(`${w.path}.lora_b`, 'f32', [rank, outputs]);
  return op.matmulThin(op.matmul(op.takeRows(x, rows, symbol('lora')), a), b);
}
