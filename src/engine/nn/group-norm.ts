/** Group normalisation (Wu & He, arXiv 1803.08494; torch.nn.GroupNorm). */
import type { Dim } from '../onnx/dim.ts';
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

/** Mean and standard deviation of every channel's group, [1, C, 1, 1]. */
export type GroupStatistics = { mean: Var; deviation: Var };

/** (x − mean)/√(var + eps)·weight + bias, mean and variance over each of `groups` runs of channels: [1, C, H, W]. */
export function groupNorm(x: Var, w: Weights, groups: number): Var {
  return normalize(x, w, groupStatistics(x, w, { groups }));
}

export type GroupNormLayer = {
  groups: number;
  epsilon?: number;
  /** The statistics are of what this makes of every band of a cut image and its neighbours, with as many channels. */
  of?: (rows: Var) => Var;
};

/**
 * The statistics of an image [1, C, H, W], whole or cut into bands.
 *
 * Sums run over the rows of the image first and over the rows' results after: a group of a large image has millions
 * of values, and one running f32 sum of them is wrong by 1e-5 of the result (InstanceNormalization) to 2e-4
 * (one ReduceMean); this way it stays below 1e-6, at the same speed, and bands give the bits of the whole image.
 */
export function groupStatistics(
  x: Var,
  w: Weights,
  { groups, epsilon = 1e-6, of }: GroupNormLayer,
): GroupStatistics {
  const channels = x.dim(1);
  if (typeof channels !== 'number' || channels % groups !== 0)
    throw graphError(`groupNorm ${w.path}: ${groups} groups do not divide the channels of ${x}`);
  const rowsOf = (f: (x: Var) => Var): Var => {
    if (!op.isCut(x)) return f(x);
    return op.joinBands(of ? op.byBandsAndNeighbours(x, (rows) => [f(of(rows))])[0]! : op.byBands(x, f));
  };
  const means = rowsOf((x) => op.reduce('ReduceMean', x, 3));
  const mean = perChannel(meanOfGroups(means, groups), channels);
  const squares = rowsOf((x) =>
    op.div(op.reduce('ReduceSumSquare', op.sub(x, mean), 3), op.axisLength(x, 3)),
  );
  const deviation = op.sqrt(op.add(meanOfGroups(squares, groups), epsilon));
  return { mean, deviation: perChannel(deviation, channels) };
}

/** Normalises an image or a band of one. */
export function normalize(x: Var, w: Weights, { mean, deviation }: GroupStatistics): Var {
  const shape: Dim[] = [1, x.dim(1), 1, 1];
  const channels = x.dim(1) as number;
  const weight = op.reshape(w.tensor('weight', [channels]), shape);
  const bias = op.reshape(w.tensor('bias', [channels]), shape);
  return op.add(op.mul(op.sub(x, mean), op.div(weight, deviation)), bias);
}

/** One value for each row of each channel, [1, C, H, 1], to one for each group, [G]. */
function meanOfGroups(rows: Var, groups: number): Var {
  return op.reshape(op.reduce('ReduceMean', op.reshape(rows, [groups, -1]), 1), [groups]);
}

/** [G] to [1, C, 1, 1]. */
function perChannel(x: Var, channels: number): Var {
  const size = channels / (x.dim(0) as number);
  const group = Array.from({ length: channels }, (_, c) => Math.floor(c / size));
  return op.reshape(op.gather(x, op.constant.i64(x.graph, group)), [1, channels, 1, 1]);
}
