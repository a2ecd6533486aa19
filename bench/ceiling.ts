/** The fastest this machine multiplies matrices of the network's widths: the floor under every block's time. */
import { Graph } from '../src/engine/onnx/graph.ts';
import * as op from '../src/engine/onnx/operators/index.ts';
import { Session } from '../src/engine/onnx/session.ts';
import { f32Tensor, tensor } from '../src/engine/onnx/tensor.ts';
import type { PrecisionName } from '../src/engine/weights/prepared.ts';
import { fastest, type Options } from './measure.ts';

export type Ceiling = Exclude<PrecisionName, 'f16'>;

/** GFLOP/s (for int8: 10⁹ integer operations a second) of [S, K]·[K, N]. */
export async function productCeiling(
  product: Ceiling,
  tokens: number,
  { threads, runs }: Options,
): Promise<number> {
  const [inputs, outputs] = [3072, 12288];
  const graph = new Graph('ceiling');
  const feeds =
    product === 'f32'
      ? floatProduct(graph, tokens, inputs, outputs)
      : product === 'int8'
        ? integerProduct(graph, tokens, inputs, outputs)
        : blockProduct(graph, tokens, inputs, outputs, product === 'int4' ? 4 : 8);
  const session = await Session.compile(graph, { device: 'cpu', threads });
  const milliseconds = await fastest(runs, () => session.run(feeds));
  await session.release();
  return (2 * tokens * inputs * outputs) / milliseconds / 1e6;
}

function floatProduct(graph: Graph, tokens: number, inputs: number, outputs: number) {
  const x = graph.input('x', 'f32', [tokens, inputs]);
  const weight = Float32Array.from({ length: inputs * outputs }, (_, i) => Math.sin(i));
  graph.output('y', op.matmulTransposed(x, op.constant.f32(graph, weight, [outputs, inputs])));
  return { x: f32Tensor(new Float32Array(tokens * inputs).fill(0.5), [tokens, inputs]) };
}

function integerProduct(graph: Graph, tokens: number, inputs: number, outputs: number) {
  const x = graph.input('x', 'u8', [tokens, inputs]);
  const bytes = new Uint8Array(inputs * outputs).map((_, i) => i * 31);
  const weight = graph.constant('i8', [inputs, outputs], bytes);
  graph.output(
    'y',
    op.matmulInteger(x, weight, op.constant.f32(graph, new Float32Array(outputs).fill(1), [outputs])),
  );
  return { x: tensor('u8', new Uint8Array(tokens * inputs).fill(130), [tokens, inputs]) };
}

function blockProduct(graph: Graph, tokens: number, inputs: number, outputs: number, bits: 4 | 8) {
  const x = graph.input('x', 'f32', [tokens, inputs]);
  const perRow = inputs / op.blockSize;
  const bytes = (op.blockSize * bits) / 8;
  const stored = new Uint8Array(outputs * perRow * bytes).map((_, i) => i * 31);
  const values = graph.constant('u8', [outputs, perRow, bytes], stored);
  const scale = op.constant.f32(graph, new Float32Array(outputs * perRow).fill(0.01), [outputs, perRow]);
  graph.output('y', op.matmulBlocks(x, { values, scale, offset: undefined }));
  return { x: f32Tensor(new Float32Array(tokens * inputs).fill(0.5), [tokens, inputs]) };
}
