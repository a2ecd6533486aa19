/** Normalisations: over the last axis, and of channels by the statistics of the training. */
import { dimsEqual } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';

/** Layer norm over the last axis (size D): (x − mean)/√(var + eps)·scale + bias, scale and bias [D]. */
export function layerNorm(x: Var, scale: Var, bias: Var | undefined, epsilon: number): Var {
  checkAffine('layerNorm', x, scale, bias);
  return x.graph.emit('LayerNormalization', [x, scale, bias], [x], {
    axis: -1,
    epsilon: { float: epsilon },
  })[0]!;
}

/** RMS norm over the last axis (size D): x/√(mean(x²) + eps)·scale, scale [D]. Zhang & Sennrich, arXiv 1910.07467. */
export function rmsNorm(x: Var, scale: Var, epsilon: number): Var {
  checkAffine('rmsNorm', x, scale, undefined);
  const attributes = { axis: -1, epsilon: { float: epsilon } };
  return x.graph.emit('SimplifiedLayerNormalization', [x, scale], [x], attributes)[0]!;
}

/** (x − mean)/√(variance + eps)·scale + bias for every channel of x [1, C, …]; the rest are [C]. Ioffe & Szegedy, arXiv 1502.03167. */
export function batchNorm(
  x: Var,
  { scale, bias, mean, variance }: Record<'scale' | 'bias' | 'mean' | 'variance', Var>,
  epsilon: number,
): Var {
  const inputs = [scale, bias, mean, variance];
  for (const value of inputs)
    if (value.rank !== 1 || !dimsEqual(value.dim(0), x.dim(1)) || value.dtype !== x.dtype)
      throw graphError(`batchNorm of ${x}: ${value} should be ${x.dtype}[${x.dim(1)}]`);
  return x.graph.emit('BatchNormalization', [x, ...inputs], [x], { epsilon: { float: epsilon } })[0]!;
}

function checkAffine(op: string, x: Var, scale: Var, bias: Var | undefined): void {
  for (const value of [scale, bias])
    if (value && (value.rank !== 1 || !dimsEqual(value.dim(0), x.dim(-1)) || value.dtype !== x.dtype))
      throw graphError(`${op} of ${x}: ${value} should be ${x.dtype}[${x.dim(-1)}]`);
}
