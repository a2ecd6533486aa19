/** Linear layers, the one place where LoRA and reduced precision enter. */
import { scaleDim, symbol } from '../onnx/dim.ts';
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { KroneckerForm, Weights } from '../weights/weights.ts';
import { idleA, idleB, idleFrom, idleTo, loraInput } from './lora.ts';

export type LinearOptions = {
  bias?: boolean;
  /** Stays f32 in a network of reduced precision: the thin layers at its ends, where it costs quality and saves nothing. */
  precise?: boolean;
  /** Its inputs pass f16's 65,504: in f16 they stay f32 even where the device could multiply them in f16. */
  wide?: boolean;
};

/** x·Wᵀ + b with W [N, K] as torch.nn.Linear stores it: [S, K] gives [S, N]. */
export function linear(x: Var, w: Weights, outputs: number, options: LinearOptions = {}): Var {
  return linearParts(x, w, [outputs], options)[0]!;
}

/**
 * A linear layer whose outputs are used in parts, [S, K] gives [S, N₀], [S, N₁], …: they are cut before biases and updates are
 * added, so that an update of one part is multiplied for that part alone.
 */
export function linearParts(
  x: Var,
  w: Weights,
  parts: readonly number[],
  options: LinearOptions = {},
): Var[] {
  const inputs = x.dim(1);
  if (x.rank !== 2 || typeof inputs !== 'number') throw graphError(`linear ${w.path}: ${x} is not [S, K]`);
  const outputs = parts.reduce((sum, size) => sum + size, 0);
  const bias = options.bias === false ? undefined : op.reshape(w.tensor('bias', [outputs]), [1, outputs]);
  const deltas = loraDeltas(x, w, inputs, parts, bias, options);
  const form = w.compute.forms?.get(w.path);
  let y = scaledProduct(x, w, outputs, options);
  for (const [i, kronecker] of (form?.kroneckers ?? []).entries())
    y = op.add(y, kroneckerDelta(x, w, i, outputs, kronecker));
  return columnsOf(y, parts).map((part, i) => op.addRows(part, deltas[i]!));
}

/**
 * x·Wᵀ with the factors of DoRA: of outputs, (x·Wᵀ)·g, and of inputs, (x·h)·Wᵀ with an h for each range of outputs. A layer
 * that has both adds the two, h being without the 1 of the layer's own product.
 */
function scaledProduct(x: Var, w: Weights, outputs: number, options: LinearOptions): Var {
  const { scaled = false, ranges = [] } = w.compute.forms?.get(w.path) ?? {};
  const sizes = ranges.length > 0 ? ranges : [outputs];
  const scale = scaled ? w.graph.input(loraInput.scale(w.path), 'f32', [1, outputs]) : undefined;
  const scales = scale && columnsOf(scale, sizes);
  const pieces = products(w, x.dim(1) as number, sizes, options).map((multiply, i) => {
    const own = scales && op.mul(multiply(x), scales[i]!);
    if (ranges.length === 0) return own ?? multiply(x);
    const factors = w.graph.input(loraInput.inputScale(w.path, i), 'f32', [1, x.dim(1)]);
    const scaledInput = multiply(op.mul(x, factors));
    return own ? op.add(own, scaledInput) : scaledInput;
  });
  return op.concat(pieces, 1);
}

function columnsOf(x: Var, parts: readonly number[]): Var[] {
  return cut(x, parts, 1);
}

function cut(x: Var, sizes: readonly number[], axis: number): Var[] {
  return sizes.length === 1 ? [x] : op.split(x, sizes, axis);
}

type Product = (x: Var) => Var;

/** Products with successive rows of W, so many for each; ONNX Runtime cuts the constant weights once, at load time. */
function products(
  w: Weights,
  inputs: number,
  sizes: readonly number[],
  { precise, wide }: LinearOptions,
): Product[] {
  const outputs = sizes.reduce((sum, size) => sum + size, 0);
  const expanded = precise ? undefined : expandedColumns(w, inputs, sizes);
  if (expanded) return expanded;
  const reduced = precise ? undefined : w.reduced('weight', outputs, inputs);
  if (reduced?.form === 'columns') {
    const columns = cut(reduced.columns, sizes, 0);
    return cut(reduced.values, sizes, 1).map(
      (weight, i) => (x) => op.matmulColumns(x, { weight, columns: columns[i]! }),
    );
  }
  if (reduced) {
    const [scales, offsets] = [reduced.scale, reduced.offset].map((each) => each && cut(each, sizes, 0));
    return cut(reduced.values, sizes, 0).map(
      (values, i) => (x) => op.matmulBlocks(x, { values, scale: scales![i]!, offset: offsets?.[i] }),
    );
  }
  if (w.compute.precision === 'f16' && !precise) {
    const weights = cut(w.tensor('weight', [outputs, inputs], 'f16'), sizes, 0);
    if (w.compute.half && !wide)
      return weights.map((weight) => (x) => op.cast(op.matmulTransposed(op.cast(x, 'f16'), weight), 'f32'));
    w.graph.widens = true;
    return weights.map((weight) => (x) => op.matmulTransposed(x, op.cast(weight, 'f32')));
  }
  return cut(w.tensor('weight', [outputs, inputs]), sizes, 0).map(
    (weight) => (x) => op.matmulTransposed(x, weight),
  );
}

/**
 * Four-bit weights that are expanded at once: their 3 Mi floats stay below the 16 MiB from which malloc returns memory to the
 * system at every free (child-environment.ts), and in the processor's cache.
 */
const expandedAtOnce = 3 * 2 ** 20;

/** Products with four-bit weights that are expanded once for all bands. */
function expandedColumns(w: Weights, inputs: number, sizes: readonly number[]): Product[] | undefined {
  const { graph } = w;
  if (!w.compute.expands || !graph.isNested) return undefined;
  const parts = sizes.map((size) => evenSizes(size, Math.floor(expandedAtOnce / inputs)));
  const nibbles = w.nibbles('weight', inputs, parts.flat());
  if (!nibbles) return undefined;
  graph.widens = true;
  let next = 0;
  return parts.map((part) => {
    const pieces = nibbles.slice(next, next + part.length);
    next += part.length;
    const columns = graph.outside(() => op.columnsOfBlocks(pieces));
    return (x) => op.matmulColumns(x, columns);
  });
}

/** Sizes that differ by one at most, none above `most`, and sum up to `total`. */
function evenSizes(total: number, most: number): number[] {
  const count = Math.ceil(total / Math.max(1, most));
  return Array.from(
    { length: count },
    (_, i) => Math.floor(((i + 1) * total) / count) - Math.floor((i * total) / count),
  );
}

/**
 * For each part the low-rank update x·A·B (Hu et al., arXiv 2106.09685) with its bias. Inputs fed at run time: A [K, R];
 * for each part B [r, N] and the block of x·A (from, to) that B multiplies. Weights are never merged. The parts' A lie side
 * by side and are multiplied in one product; parts may share columns. Idle, R and r are 0 and the block is one row: the
 * result is the bias [1, N], and the layer costs what it would without LoRA. Fed, the bias is B's last row and is
 * multiplied by a column of ones, which saves a pass over [S, N].
 */
function loraDeltas(
  x: Var,
  w: Weights,
  inputs: number,
  parts: readonly number[],
  bias: Var | undefined,
  { precise = false }: LinearOptions,
): Var[] {
  const { graph, path } = w;
  const outputs = parts.reduce((sum, size) => sum + size, 0);
  graph.linears.push({ name: path, inputs, outputs, parts, precise });
  const a = graph.input(loraInput.a(path), 'f32', [inputs, symbol(`${path}.rank`)], idleA(inputs));
  const low = op.matmul(x, a); // [S, R]
  const biases = bias && columnsOf(bias, parts);
  return parts.map((size, i) => {
    const rank = symbol(`${path}.rank_${i}`);
    // The first part's columns are the first.
    const from =
      i === 0 ? op.constant.i64(graph, [0, 0]) : graph.input(loraInput.from(path, i), 'i64', [2], idleFrom);
    const to = graph.input(loraInput.to(path, i), 'i64', [2], idleTo);
    const b = graph.input(loraInput.b(path, i), 'f32', [rank, size], idleB(size));
    const own = op.takeBlock(low, from, to, [symbol('lora'), rank]);
    if (!biases) return op.matmulThin(own, b);
    return op.matmulThin(op.padColumns(own, 0, 1, 1), op.concat([b, biases[i]!], 0));
  });
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
  const left = w.graph.input(loraInput.left(w.path, index), 'f32', [a, b]);
  const right = w.graph.input(loraInput.right(w.path, index), 'f32', [d, c]);
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
