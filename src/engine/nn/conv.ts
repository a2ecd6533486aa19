/** Convolutions over images [1, C, H, W] and over bands of their rows, with the weights of torch.nn.Conv2d. */
import { graphError, type Var } from '../onnx/graph.ts';
import type { ConvOptions } from '../onnx/operators/index.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

export type ConvLayer = {
  /** Odd; by default that of the checkpoint. */
  kernel?: number;
  stride?: number;
  bias?: boolean;
  /** Rows and columns of zeros added: all around, or right and below only. Default: as many as keep the size. */
  padding?: 'same' | 'right-bottom';
};

/** Always f32: half precision overflows in image autoencoders, which gives black squares. */
export function conv(x: Var, w: Weights, outputs: number, layer: ConvLayer = {}): Var {
  const { kernel = kernelOf(w) } = layer;
  return convolve(x, w, outputs, { ...layer, pads: padsOf(layer, kernel) });
}

/** 3×3 over an image enlarged to [1, C, 2·H, 2·W] by repeating its pixels. */
export function upsampleConv(x: Var, w: Weights): Var {
  return conv(op.upsampleNearest(x, 2), w, x.dim(1) as number);
}

/**
 * 3×3 over a band with a row of its neighbour above and one below, [1, C, R + 2, W] to [1, outputs, R, W]. The rows beyond
 * the image's ends must be zero: they are its padding.
 */
export function bandConv(rows: Var, w: Weights, outputs: number): Var {
  if (kernelOf(w) !== 3)
    throw graphError(
      `conv ${w.path}: a band has one row of its neighbours, a kernel of ${kernelOf(w)} needs more`,
    );
  return convolve(rows, w, outputs, { pads: [0, 1, 0, 1] });
}

/**
 * The band of the enlarged image, [1, C, 2·R, 2·W], from one with its neighbours' rows, [1, C, R + 2, W]. Three neighbours of
 * an enlarged image are two pixels of the image on either axis, so that one in four results is a 2×2 convolution of the image
 * with sums of weights: four ninths of the operations, and a result that differs by rounding.
 */
export function upsampleBandConv(rows: Var, w: Weights): Var {
  const channels = rows.dim(1) as number;
  const weight = w.tensor('weight', [channels, channels, 3, 3]);
  const bias = w.tensor('bias', [channels]);
  const quarters = [0, 1].flatMap((py) =>
    [0, 1].map((px) => {
      const seen = op.sliceAxis(rows, 2, py, py === 0 ? -1 : undefined);
      const kernel = halfKernel(halfKernel(weight, 2, py), 3, px);
      return op.conv2d(seen, kernel, bias, { pads: [0, 1 - px, 0, px] });
    }),
  );
  return op.depthToSpace(op.concat(quarters, 1), 2);
}

/** The weights of an axis of three as those of the two pixels that they see, in every first or every second place. */
function halfKernel(weight: Var, axis: number, place: number): Var {
  const [a, b, c] = [0, 1, 2].map((i) => op.sliceAxis(weight, axis, i, i + 1)) as [Var, Var, Var];
  return op.concat(place === 0 ? [a, op.add(b, c)] : [op.add(a, b), c], axis);
}

type Pads = NonNullable<ConvOptions['pads']>;

function convolve(x: Var, w: Weights, outputs: number, layer: ConvLayer & { pads?: Pads }): Var {
  const { kernel = kernelOf(w), stride = 1, bias = true, pads = [0, 0, 0, 0] } = layer;
  const inputs = x.dim(1);
  if (x.rank !== 4 || typeof inputs !== 'number')
    throw graphError(`conv ${w.path}: ${x} is not [1, C, H, W]`);
  const weight = w.tensor('weight', [outputs, inputs, kernel, kernel]);
  return op.conv2d(x, weight, bias ? w.tensor('bias', [outputs]) : undefined, { stride, pads });
}

function padsOf({ padding = 'same' }: ConvLayer, kernel: number): Pads {
  const pad = (kernel - 1) / 2;
  return padding === 'same' ? [pad, pad, pad, pad] : [0, 0, 1, 1];
}

function kernelOf(w: Weights): number {
  const [, , height = 3] = w.source.shape(w.name('weight'));
  return height;
}
