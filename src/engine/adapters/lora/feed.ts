/** The feeds of a layer for the LoRAs that update it: one low-rank product for all of them, and the tensors of other forms. */
import { loraInput, partFeed } from '../../nn/lora.ts';
import { type Feeds, f32Tensor, floats, type Tensor } from '../../onnx/tensor.ts';
import { joinFloats } from '../../weights/floats.ts';
import { type LowRankInput, type PreparedLayer, type PreparedPart, rangesOf } from './prepare.ts';

/** A layer's update by one LoRA, with a weight. */
export type Weighted = { layer: PreparedLayer; weight: number };

/** Several LoRAs' updates of one layer, as its graph takes them; empty when none of them acts on it. */
export function layerFeed(list: readonly Weighted[]): Feeds {
  return { ...lowRankFeed(list), ...formFeed(list) };
}

/** Arrays that feeds hold in memory; the bounds of columns are not counted. */
export function arraysOf(feeds: Feeds): Float32Array[] {
  return Object.values(feeds).flatMap((value) => (value.dtype === 'f32' ? [floats(value)] : []));
}

/** The A matrices of one part, side by side, and their first column in the layer's A. */
type Stack = { inputs: readonly LowRankInput[]; at: number; rank: number };

/**
 * Several updates of a part become one whose rank is the sum of their ranks: the columns of A and the rows of B are
 * concatenated. Parts that share an A share its columns.
 */
function lowRankFeed(all: readonly Weighted[]): Feeds {
  const list = all.filter(({ weight }) => weight !== 0);
  const { name, inputs, parts: sizes } = all[0]!.layer.slot;
  const stacks: Stack[] = [];
  const feed: Record<string, Tensor> = {};
  for (const [i, outputs] of sizes.entries()) {
    const parts = list
      .map(({ layer, weight }) => ({ ...layer.parts[i]!, weight }))
      .filter(({ a }) => a.rank > 0);
    // A part that no update reaches keeps its idle values.
    if (parts.length > 0) {
      const { at, rank } = placeInputs(
        stacks,
        parts.map(({ a }) => a),
      );
      const b = f32Tensor(joinOutputs(parts), [rank, outputs]);
      Object.assign(feed, partFeed(name, i, { column: at, b }));
    }
  }
  if (stacks.length === 0) return {};
  return { ...feed, [loraInput.a(name)]: joinStacks(stacks, inputs) };
}

function placeInputs(stacks: Stack[], inputs: readonly LowRankInput[]): Stack {
  const known = stacks.find(
    (stack) => stack.inputs.length === inputs.length && stack.inputs.every((input, i) => input === inputs[i]),
  );
  if (known) return known;
  const last = stacks.at(-1);
  const rank = inputs.reduce((sum, input) => sum + input.rank, 0);
  const stack = { inputs, at: last ? last.at + last.rank : 0, rank };
  stacks.push(stack);
  return stack;
}

function joinStacks(stacks: readonly Stack[], rows: number): Tensor {
  const inputs = stacks.flatMap((stack) => stack.inputs);
  const [only] = inputs;
  if (inputs.length === 1) return f32Tensor(only!.values, [rows, only!.rank]);
  const rank = stacks.reduce((sum, stack) => sum + stack.rank, 0);
  const joined = new Float32Array(rows * rank);
  let at = 0;
  for (const { values, rank: own } of inputs) {
    for (let k = 0; k < rows; k++) joined.set(values.subarray(k * own, (k + 1) * own), k * rank + at);
    at += own;
  }
  return f32Tensor(joined, [rows, rank]);
}

function joinOutputs(parts: readonly (PreparedPart & { weight: number })[]): Float32Array {
  return joinFloats(parts.map(({ b, weight }) => (weight === 1 ? b : times(b, weight))));
}

/** A compiled form needs feeds even when no update is active: factors of 1 and products of 0. */
function formFeed(list: readonly Weighted[]): Feeds {
  const feed: Record<string, Tensor> = {};
  const { name, outputs } = list[0]!.layer.slot;
  if (list.some(({ layer }) => layer.gain)) {
    const scale = new Float32Array(outputs).fill(1);
    for (const { layer, weight } of list)
      layer.gain?.forEach((value, n) => {
        scale[n]! += weight * value;
      });
    feed[loraInput.scale(name)] = f32Tensor(scale, [1, outputs]);
  }
  Object.assign(feed, inputScaleFeed(list));
  const kroneckers = list.flatMap(({ layer, weight }) =>
    layer.kroneckers.map((kronecker) => ({ ...kronecker, weight })),
  );
  for (const [i, { form, left, right, weight }] of kroneckers.entries()) {
    const { a, b, c, d } = form;
    feed[loraInput.left(name, i)] = f32Tensor(weight === 1 ? left : times(left, weight), [a, b]);
    feed[loraInput.right(name, i)] = f32Tensor(right, [d, c]);
  }
  return feed;
}

/** The factors of the inputs for each range of outputs; without the 1 where the layer's own product is scaled beside them. */
function inputScaleFeed(list: readonly Weighted[]): Feeds {
  const layers = list.map(({ layer }) => layer);
  const { name, inputs } = layers[0]!.slot;
  const own = layers.some(({ gain }) => gain) ? 0 : 1;
  const feed: Record<string, Tensor> = {};
  let first = 0;
  for (const [i, size] of rangesOf(layers).entries()) {
    const factors = new Float32Array(inputs).fill(own);
    for (const { layer, weight } of list)
      for (const { segments, values } of layer.inputGains)
        if (segments.some(({ at, count }) => at <= first && first < at + count))
          values.forEach((value, k) => {
            factors[k]! += weight * value;
          });
    feed[loraInput.inputScale(name, i)] = f32Tensor(factors, [1, inputs]);
    first += size;
  }
  return feed;
}

function times(values: Float32Array, factor: number): Float32Array {
  return values.map((value) => factor * value);
}
