/** The layers of MobileNets (Howard et al., arXiv 1704.04861), as TensorFlow pads them. */
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';
import { affineTensor } from './affine.ts';

const epsilon = 0.001;

/** A square kernel over all channels: [1, C, H, W] to [1, outputs, H/stride, W/stride]. */
export function fullConv(x: Var, w: Weights, leaf: string, outputs: number, kernel: number, stride = 1): Var {
  const weight = affineTensor(w, leaf, [outputs, x.dim(1) as number, kernel, kernel]);
  return op.conv2d(x, weight, undefined, { stride, pads: samePads(x, kernel, stride) });
}

/** A 3×3 kernel for every channel by itself. */
export function depthwiseConv(x: Var, w: Weights, leaf: string, stride: number): Var {
  const channels = x.dim(1) as number;
  const weight = affineTensor(w, leaf, [channels, 1, 3, 3]);
  return op.conv2d(x, weight, undefined, { stride, pads: samePads(x, 3, stride), groups: channels });
}

export function batchNorm(x: Var, w: Weights): Var {
  const tensor = (leaf: string) => affineTensor(w, leaf, [x.dim(1) as number]);
  return op.batchNorm(
    x,
    {
      scale: tensor('gamma'),
      bias: tensor('beta'),
      mean: tensor('moving_mean'),
      variance: tensor('moving_variance'),
    },
    epsilon,
  );
}

/** One value for each channel, added: [1, C, H, W]. */
export function addBias(x: Var, w: Weights, leaf: string): Var {
  const channels = x.dim(1) as number;
  return op.add(x, op.reshape(affineTensor(w, leaf, [channels]), [1, channels, 1, 1]));
}

/** TensorFlow's padding `same` on even sides: a stride of two leaves the first row and column out, not the last. */
function samePads(x: Var, kernel: number, stride: number): [number, number, number, number] {
  if (stride > 1 && [x.dim(2), x.dim(3)].some((side) => typeof side !== 'number' || side % stride !== 0))
    throw graphError(`stride ${stride} does not divide the sides of ${x}`);
  const total = kernel - stride;
  const before = Math.floor(Math.max(total, 0) / 2);
  const after = Math.max(total, 0) - before;
  return [before, before, after, after];
}
