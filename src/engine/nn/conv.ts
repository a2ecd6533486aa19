/** Convolutions over images [1, C, H, W] with the weights of torch.nn.Conv2d. */
import { graphError, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { Weights } from '../weights/weights.ts';

export type ConvLayer = {
  /** Odd; by default what the checkpoint has. */
  kernel?: number;
  stride?: number;
  bias?: boolean;
  /** Rows and columns of zeros added: all around, or right and below only. Default: as many as keep the size. */
  padding?: 'same' | 'right-bottom';
};

/** Always f32: half precision overflows in image autoencoders, which an image shows as black squares. */
export function conv(x: Var, w: Weights, outputs: number, layer: ConvLayer = {}): Var {
  const { kernel = kernelOf(w), stride = 1, bias = true, padding = 'same' } = layer;
  const inputs = x.dim(1);
  if (x.rank !== 4 || typeof inputs !== 'number')
    throw graphError(`conv ${w.path}: ${x} is not [1, C, H, W]`);
  const pad = (kernel - 1) / 2;
  return op.conv2d(
    x,
    w.tensor('weight', [outputs, inputs, kernel, kernel]),
    bias ? w.tensor('bias', [outputs]) : undefined,
    { stride, pads: padding === 'same' ? [pad, pad, pad, pad] : [0, 0, 1, 1] },
  );
}

function kernelOf(w: Weights): number {
  const [, , height = 3] = w.source.shape(w.name('weight'));
  return height;
}
