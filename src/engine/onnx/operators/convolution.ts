/** Operators on images [1, C, H, W]. */
import { addDims, type Dim, dimsEqual, divideDim, floorDivideDim, scaleDim } from '../dim.ts';
import { graphError, type Var } from '../graph.ts';
import { f32, i64 } from './constant.ts';
import { gather } from './shape.ts';

/** pads: top, left, bottom, right. groups: runs of channels that see only themselves; C of them is depthwise. */
export type ConvOptions = {
  stride?: number;
  pads?: readonly [number, number, number, number];
  groups?: number;
};

/** x [1, C, H, W], weight [O, C/groups, kh, kw], bias [O]. */
export function conv2d(x: Var, weight: Var, bias: Var | undefined, options: ConvOptions = {}): Var {
  const { stride = 1, pads = [0, 0, 0, 0], groups = 1 } = options;
  const [outputs, channels, height, width] = weight.shape as [Dim, Dim, number, number];
  if (x.rank !== 4 || weight.rank !== 4 || !dimsEqual(x.dim(1), scaleDim(channels, groups)))
    throw graphError(`conv2d: ${x} with ${weight} in ${groups} groups: channels differ`);
  const size = (axis: number, kernel: number, pad: number): Dim => {
    const steps = floorDivideDim(addDims(x.dim(axis), pad - kernel), stride);
    if (steps === undefined)
      throw graphError(`conv2d: stride ${stride} does not divide axis ${axis} of ${x}`);
    return addDims(steps, 1);
  };
  const shape = [1, outputs, size(2, height, pads[0] + pads[2]), size(3, width, pads[1] + pads[3])];
  const attributes = { kernel_shape: [height, width], strides: [stride, stride], pads, group: groups };
  return x.graph.emit('Conv', [x, weight, bias], [{ dtype: x.dtype, shape }], attributes)[0]!;
}

/** Repeats every pixel factor×factor times. */
export function upsampleNearest(x: Var, factor: number): Var {
  const scales = f32(x.graph, [1, 1, factor, factor], [4]);
  const shape = [1, x.dim(1), scaleDim(x.dim(2), factor), scaleDim(x.dim(3), factor)];
  const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  return x.graph.emit('Resize', [x, undefined, scales], [{ dtype: x.dtype, shape }], attributes)[0]!;
}

/** torch.nn.functional.pixel_shuffle: [N, C·p², H, W] gives [N, C, p·H, p·W]. */
export function pixelShuffle(x: Var, p: number): Var {
  return squaresOf('pixelShuffle', x, p, 'CRD');
}

/** [N, p²·C, H, W] gives [N, C, p·H, p·W]: channel (py·p + px)·C + c is the pixel at py, px of every square of channel c. */
export function depthToSpace(x: Var, p: number): Var {
  return squaresOf('depthToSpace', x, p, 'DCR');
}

function squaresOf(name: string, x: Var, p: number, mode: 'CRD' | 'DCR'): Var {
  const channels = divideDim(x.dim(1), p * p);
  if (channels === undefined) throw graphError(`${name} by ${p} of ${x}`);
  const shape = [x.dim(0), channels, scaleDim(x.dim(2), p), scaleDim(x.dim(3), p)];
  return x.graph.emit('DepthToSpace', [x], [{ dtype: x.dtype, shape }], { blocksize: p, mode })[0]!;
}

/** torch.nn.functional.pixel_unshuffle: [1, C, p·H, p·W] gives [1, C·p², H, W], channel c·p² + py·p + px. */
export function pixelUnshuffle(x: Var, p: number): Var {
  const [height, width] = [divideDim(x.dim(2), p), divideDim(x.dim(3), p)];
  const channels = x.dim(1);
  if (height === undefined || width === undefined || typeof channels !== 'number')
    throw graphError(`pixelUnshuffle by ${p} of ${x}`);
  const shape = [1, channels * p * p, height, width];
  const [deep] = x.graph.emit('SpaceToDepth', [x], [{ dtype: x.dtype, shape }], { blocksize: p });
  // SpaceToDepth puts the position before the channel; torch puts the channel first.
  const order = Array.from(
    { length: channels * p * p },
    (_, k) => (k % (p * p)) * channels + Math.floor(k / (p * p)),
  );
  return gather(deep!, i64(x.graph, order), 1);
}
