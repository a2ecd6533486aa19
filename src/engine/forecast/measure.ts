/** The speed of this machine's processor at the operations that an image is made of, each measured for moments. */
import { Graph, type Var } from '../onnx/graph.ts';
import * as op from '../onnx/operators/index.ts';
import { Session } from '../onnx/session.ts';
import { type Feeds, f32Tensor, type Tensor } from '../onnx/tensor.ts';
import type { Measurable, Rates } from './rates.ts';

type Probe = { graph: Graph; feeds: Feeds; work: number };

/** Runs of each operation after one to warm up; the fastest counts, being the least disturbed. */
const runs = 3;

export async function measureRates(precisions: readonly Measurable[], threads: number): Promise<Rates> {
  const products: Rates['products'] = {};
  for (const precision of precisions)
    products[precision] = await rateOf(productProbe(precision, { rows: 512, inputs: 3072, outputs: 3072 }), {
      threads,
    });
  return {
    products,
    attention: await rateOf(attentionProbe(1024, 8), { threads }),
    convolutions: await rateOf(convolutionProbe(128, 128), { threads }),
    passes: await rateOf(passesProbe(2048), { threads }),
  };
}

/** Units of a probe's work in a second. */
export async function rateOf(
  { graph, feeds, work }: Probe,
  { threads, count = runs }: { threads: number; count?: number },
): Promise<number> {
  const session = await Session.compile(graph, { device: 'cpu', threads });
  try {
    await session.run(feeds);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const begin = performance.now();
      await session.run(feeds);
      best = Math.min(best, performance.now() - begin);
    }
    return (1000 * work) / best;
  } finally {
    await session.release();
  }
}

/**
 * [rows, inputs] · [inputs, outputs]. The product stays inside the graph: as a graph's output its memory would be fresh in
 * each run, and the page faults cost more than an eight-bit product.
 */
export function productProbe(
  precision: Measurable,
  { rows, inputs, outputs }: { rows: number; inputs: number; outputs: number },
): Probe {
  const graph = new Graph('product');
  const x = graph.input('x', 'f32', [rows, inputs]);
  graph.output('largest', op.reduce('ReduceMax', product(x, precision, outputs), 1));
  return {
    graph,
    feeds: { x: f32Tensor(wave(rows * inputs), [rows, inputs]) },
    work: 2 * rows * inputs * outputs,
  };
}

function product(x: Var, precision: Measurable, outputs: number): Var {
  const { graph } = x;
  const inputs = x.dim(1) as number;
  if (precision === 'f32')
    return op.matmulTransposed(x, op.constant.f32(graph, wave(inputs * outputs), [outputs, inputs]));
  if (precision === 'int8') {
    const { values } = op.quantizeRows(x);
    const weight = graph.constant('i8', [inputs, outputs], bytes(inputs * outputs));
    const columns = op.constant.f32(graph, new Float32Array(outputs).fill(0.01), [outputs]);
    return op.matmulInteger(values, weight, columns);
  }
  const perRow = inputs / op.blockSize;
  const size = (op.blockSize * (precision === 'int4' ? 4 : 8)) / 8;
  const values = graph.constant('u8', [outputs, perRow, size], bytes(outputs * perRow * size));
  const scale = op.constant.f32(graph, new Float32Array(outputs * perRow).fill(0.01), [outputs, perRow]);
  return op.matmulBlocks(x, { values, scale, offset: undefined });
}

function attentionProbe(tokens: number, heads: number): Probe {
  const width = 128 * heads;
  const graph = new Graph('attention');
  const x = graph.input('x', 'f32', [1, tokens, width]);
  const out = op.multiHeadAttention(x, x, x, heads, 1 / Math.sqrt(128));
  graph.output('largest', op.reduce('ReduceMax', out, 2));
  return {
    graph,
    feeds: { x: f32Tensor(wave(tokens * width), [1, tokens, width]) },
    work: 4 * tokens * tokens * width,
  };
}

function convolutionProbe(channels: number, side: number): Probe {
  const graph = new Graph('convolution');
  const x = graph.input('x', 'f32', [1, channels, side, side]);
  const weight = op.constant.f32(graph, wave(channels * channels * 9), [channels, channels, 3, 3]);
  const out = op.conv2d(x, weight, undefined, { pads: [1, 1, 1, 1] });
  graph.output('largest', op.reduce('ReduceMax', out, 1));
  return {
    graph,
    feeds: { x: f32Tensor(wave(channels * side * side), [1, channels, side, side]) },
    work: 2 * 9 * channels * channels * side * side,
  };
}

/** Four products with a row, each of which reads and writes all of x. */
function passesProbe(rows: number): Probe {
  const width = 3072;
  const graph = new Graph('passes');
  let x = graph.input('x', 'f32', [rows, width]);
  const feeds: Record<string, Tensor> = { x: f32Tensor(wave(rows * width), [rows, width]) };
  for (const name of ['a', 'b', 'c', 'd']) {
    x = op.mul(x, graph.input(name, 'f32', [1, width]));
    feeds[name] = f32Tensor(wave(width), [1, width]);
  }
  graph.output('largest', op.reduce('ReduceMax', x, 1));
  return { graph, feeds, work: 4 * rows * width * 9 };
}

function wave(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5);
}

function bytes(length: number): Uint8Array {
  const values = new Uint8Array(length);
  for (let i = 0; i < length; i++) values[i] = i * 31;
  return values;
}
