/**
 * MobileNetV2 (Sandler et al., arXiv 1801.04381; keras.applications) with three dense layers on top:
 * infinitered/nsfwjs, trained by GantMan/nsfw_model.
 */
import { affineTensor } from '../nn/affine.ts';
import { batchNorm, depthwiseConv, fullConv } from '../nn/depthwise.ts';
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import type { WeightSource } from '../weights/source.ts';
import { type Compute, Weights } from '../weights/weights.ts';

/** Side of the image it looks at, in pixels. */
export const mobilenetV2Size = 224;

/** Outputs of the blocks after the first, and those that halve the image. */
const blocks = [24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
const halving = [1, 3, 6, 13];
/** How much wider a block is inside. */
const expansion = 6;

/** `image` [1, 3, 224, 224] in 0 … 1 to `probabilities` [1, classes]. */
export function mobilenetV2Graph(source: WeightSource, compute: Compute): Graph {
  const graph = new Graph('mobilenet-v2');
  const w = new Weights(graph, source, compute);
  let x = fullConv(
    graph.input('image', 'f32', [1, 3, mobilenetV2Size, mobilenetV2Size]),
    w.at('Conv1'),
    'kernel',
    32,
    3,
    2,
  );
  x = op.relu6(batchNorm(x, w.at('bn_Conv1')));
  x = project(depthwise(x, w, 'expanded_conv', 1), w, 'expanded_conv', 16);
  for (const [index, outputs] of blocks.entries()) {
    const i = index + 1;
    const y = bottleneck(x, w, `block_${i}`, outputs, halving.includes(i) ? 2 : 1);
    x = y.dim(1) === x.dim(1) && !halving.includes(i) ? op.add(x, y) : y;
  }
  x = op.relu6(batchNorm(fullConv(x, w.at('Conv_1'), 'kernel', 1280, 1), w.at('Conv_1_bn')));
  const pooled = op.reshape(op.reduce('ReduceMean', op.reduce('ReduceMean', x, 3), 2), [1, 1280]);
  const classes = source.shape('dense_3.kernel')[0]!;
  const h = op.relu(dense(op.relu(dense(pooled, w.at('dense_1'), 256)), w.at('dense_2'), 128));
  graph.output('probabilities', op.softmax(dense(h, w.at('dense_3'), classes)));
  return graph;
}

function bottleneck(x: Var, w: Weights, name: string, outputs: number, stride: number): Var {
  const width = expansion * (x.dim(1) as number);
  const h = fullConv(x, w.at(`${name}_expand`), 'kernel', width, 1);
  return project(
    depthwise(op.relu6(batchNorm(h, w.at(`${name}_expand_BN`))), w, name, stride),
    w,
    name,
    outputs,
  );
}

function depthwise(x: Var, w: Weights, name: string, stride: number): Var {
  const h = depthwiseConv(x, w.at(`${name}_depthwise`), 'depthwise_kernel', stride);
  return op.relu6(batchNorm(h, w.at(`${name}_depthwise_BN`)));
}

/** No activation: a ReLU would destroy information in a narrow layer (the paper's linear bottleneck). */
function project(x: Var, w: Weights, name: string, outputs: number): Var {
  return batchNorm(fullConv(x, w.at(`${name}_project`), 'kernel', outputs, 1), w.at(`${name}_project_BN`));
}

function dense(x: Var, w: Weights, outputs: number): Var {
  const kernel = affineTensor(w, 'kernel', [outputs, x.dim(1) as number]);
  return op.add(op.matmulTransposed(x, kernel), op.reshape(affineTensor(w, 'bias', [outputs]), [1, outputs]));
}
