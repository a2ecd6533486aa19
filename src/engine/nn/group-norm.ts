/** Group normalisation (Wu & He, arXiv 1803.08494; torch.nn.GroupNorm). */
import type { Dim } from '../onnx/dim.ts';
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

/** Mean and standard deviation of every channel's group, [1, C, 1, 1]. */
export type GroupStatistics = { mean: Var; deviation: Var };

/** (x − mean)/√(var + eps)·weight + bias, mean and variance over each of `groups` runs of channels: [1, C, H, W]. */
export function groupNorm(x: Var, w: Weights, groups: number): Var {
  return normalize(x, w, groupStatistics(x, w, groups));
}

/**
 * The statistics of an image [1, C, H, W].
 *
 * Sums run over the rows of the image first and over the rows' results after: a group of a large image has millions
 * of values, and one running f32 sum of them is wrong by 1e-5 of the result (InstanceNormalization) to 2e-4
 * (one ReduceMean); this way it stays below 1e-6, at the same speed.
 */
function groupStatistics(x: Var, w: Weights, groups: number): GroupStatistics {
  const channels = x.dim(1);
  if (typeof channels !== 'number' || channels % groups !== 0)
    throw graphError(`groupNorm ${w.path}: ${groups} groups do not divide the channels of ${x}`);
  const mean = perChannel(meanOfGroups(op.reduce('ReduceMean', x, 3), groups), channels);
  const deviation = op.sqrt(op.add(meanOfGroups(meanSquares(x, mean), groups), normEpsilon));
  return { mean, deviation: perChannel(deviation, channels) };
}

/** Added to a variance before its root is taken. */
export const normEpsilon = 1e-6;

/**
 * Mean and mean squared deviation of every row of every channel of a band, [1, C, R, 1] each, from which `GroupMoments`
 * makes the statistics of the image.
 */
export function rowMoments(band: Var): { means: Var; squares: Var } {
  const means = op.reduce('ReduceMean', band, 3);
  return { means, squares: meanSquares(band, means) };
}

/** The mean squared deviation of every row, [1, C, H, 1]. */
function meanSquares(x: Var, mean: Var): Var {
  return op.div(op.reduce('ReduceSumSquare', op.sub(x, mean), 3), op.axisLength(x, 3));
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
