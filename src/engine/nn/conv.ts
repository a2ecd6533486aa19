/** Convolutions over images [1, C, H, W], whole or cut into bands, with the weights of torch.nn.Conv2d. */
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
  /** Applied to the input, on a cut image to a band at a time. */
  input?: (x: Var) => Var;
};

/** Always f32: half precision overflows in image autoencoders, which gives black squares. */
export function conv(x: Var, w: Weights, outputs: number, layer: ConvLayer = {}): Var {
  const { kernel = kernelOf(w), input = (x: Var) => x } = layer;
  if (!op.isCut(x)) return convolve(input(x), w, outputs, { ...layer, pads: padsOf(layer, kernel) });
  if (kernel === 1) return op.byBands(x, (band) => convolve(input(band), w, outputs, layer));
  if (kernel !== 3)
    throw graphError(`conv ${w.path}: a band sees one row of its neighbours, not ${kernel - 2}`);
  return op.byBandsAndNeighbours(x, (rows, inside) => [bandConv(input(rows), inside, w, outputs)])[0]!;
}

/**
 * 3×3 over a band with its neighbours, [1, C, R + 2, W] to [1, outputs, R, W]. Rows that are not `inside` the image are
 * padding, which is zero whatever they were computed to.
 */
export function bandConv(rows: Var, inside: Var, w: Weights, outputs: number): Var {
  return convolve(op.mul(rows, inside), w, outputs, { pads: [0, 1, 0, 1] });
}

/** 3×3 over an image enlarged to [1, C, 2·H, 2·W] by repeating its pixels. */
export function upsampleConv(x: Var, w: Weights): Var {
  const channels = x.dim(1) as number;
  if (!op.isCut(x)) return conv(op.upsampleNearest(x, 2), w, channels);
  return op.byBandsAndNeighbours(x, (rows) => [upsampleBand(rows, w)])[0]!;
}

/** The band of the enlarged image, [1, C, 2·R, 2·W], from one with its neighbours, [1, C, R + 2, W]. */
export function upsampleBand(rows: Var, w: Weights): Var {
  const enlarged = op.sliceAxis(op.upsampleNearest(rows, 2), 2, 1, -1);
  return convolve(enlarged, w, rows.dim(1) as number, { pads: [0, 1, 0, 1] });
}

/** The enlarged band with its own neighbours, [1, C, 2·R + 2, 2·W]. */
export function upsampleBandAndNeighbours(rows: Var, w: Weights): Var {
  return convolve(op.upsampleNearest(rows, 2), w, rows.dim(1) as number, { pads: [0, 1, 0, 1] });
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
