/**
 * A single-shot detector of faces (Liu et al., arXiv 1512.02325) on MobileNetV1 (Howard et al., arXiv 1704.04861):
 * vladmandic/face-api `src/ssdMobilenetv1`, trained by yeephycho on WIDER FACE.
 */
import { addBias, batchNorm, depthwiseConv, fullConv } from '../nn/depthwise.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';

/** Side of the image it looks at, in pixels. */
export const ssdSize = 512;

/** Priors: 3 of them at each of 32² places, then 6 at each of 16², 8² … 1². */
export const ssdPriors = 3 * 32 ** 2 + 6 * (16 ** 2 + 8 ** 2 + 4 ** 2 + 2 ** 2 + 1);

/** Outputs of the thirteen pairs, and which of them halve the image. */
const pairs = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
const halving = [2, 4, 6, 12];
/** The extra layers: a 1×1 convolution and a 3×3 that halves, four times. */
const extras = [256, 512, 128, 256, 128, 256, 64, 128];

/** `image` [1, 3, 512, 512] in -1 … 1 to `encodings` [P, 4], relative to the priors, and `scores` [P] in 0 … 1. */
export function ssdGraph(source: WeightSource, compute: Compute): Graph {
  const graph = new Graph('ssd-mobilenet');
  const w = new Weights(graph, source, compute);
  const { eleventh, last } = mobilenet(
    graph.input('image', 'f32', [1, 3, ssdSize, ssdSize]),
    w.at('MobilenetV1'),
  );
  const heads = [eleventh, last];
  let x = last;
  for (const [i, outputs] of extras.entries()) {
    x = pointwise(x, w.at('Prediction'), i, outputs, i % 2 === 0 ? 1 : 3);
    if (i % 2 === 1) heads.push(x);
  }
  const predicted = heads.map((head, i) =>
    predictor(head, w.at('Prediction').at(`BoxPredictor_${i}`), i === 0 ? 3 : 6),
  );
  graph.output(
    'encodings',
    op.concat(
      predicted.map(({ encodings }) => encodings),
      0,
    ),
  );
  graph.output(
    'scores',
    op.concat(
      predicted.map(({ scores }) => scores),
      0,
    ),
  );
  return graph;
}

function mobilenet(image: Var, w: Weights): { eleventh: Var; last: Var } {
  let x = pointwise(image, w, 0, 32, 3);
  let eleventh = x;
  for (const [index, outputs] of pairs.entries()) {
    const i = index + 1;
    const depthwise = w.at(`Conv2d_${i}_depthwise`);
    const h = depthwiseConv(x, depthwise, 'depthwise_weights', halving.includes(i) ? 2 : 1);
    x = pointwise(op.relu6(batchNorm(h, depthwise.at('BatchNorm'))), w, i, outputs, 1);
    if (i === 11) eleventh = x;
  }
  return { eleventh, last: x };
}

/** The reference calls these pointwise; those with a 3×3 kernel halve the image. */
function pointwise(x: Var, w: Weights, i: number, outputs: number, kernel: 1 | 3): Var {
  const at = w.at(`Conv2d_${i}_pointwise`);
  return op.relu6(
    addBias(fullConv(x, at, 'weights', outputs, kernel, kernel === 3 ? 2 : 1), at, 'convolution_bn_offset'),
  );
}

/** x [1, C, H, W] to the predictions of `boxes` priors at every place, row by row. */
function predictor(x: Var, w: Weights, boxes: number): { encodings: Var; scores: Var } {
  const count = (x.dim(2) as number) * (x.dim(3) as number) * boxes;
  const predict = (name: string, values: number) => {
    const at = w.at(name);
    const y = addBias(fullConv(x, at, 'weights', boxes * values, 1), at, 'biases');
    return op.reshape(op.transpose(y, [0, 2, 3, 1]), [count, values]);
  };
  // Classes: background, face and an unused one, each with its own sigmoid.
  const face = op.split(predict('ClassPredictor', 3), [1, 1, 1], 1)[1]!;
  return {
    encodings: predict('BoxEncodingPredictor', 4),
    scores: op.reshape(op.sigmoid(face), [count]),
  };
}
