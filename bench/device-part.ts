/**
 * The program that device-parts.ts starts for one part of `bench device`: attention, or a step of a transformer of
 * FLUX.1's width. A process of its own starts without another part's memory, and can be ended when it takes too long.
 */
import path from 'node:path';
import { Transformer } from '../src/engine/networks/transformer.ts';
import { attention } from '../src/engine/nn/attention.ts';
import { symbol } from '../src/engine/onnx/dim.ts';
import { Graph } from '../src/engine/onnx/graph.ts';
import * as op from '../src/engine/onnx/operators/index.ts';
import { Session } from '../src/engine/onnx/session.ts';
import { f32Tensor } from '../src/engine/onnx/tensor.ts';
import type { DeviceName } from '../src/engine/plan.ts';
import type { Compute } from '../src/engine/weights/weights.ts';
import { MemoryWatch } from './device-memory.ts';
import { conditioning, finish, pattern } from './layers.ts';
import { type Synthetic, syntheticFlux } from './widths.ts';

/** An edit of an image of `rows`·`columns` tokens with a reference of that size, beside `text` tokens. */
export type Work = { text: number; rows: number; columns: number };
export const tokensOf = ({ text, rows, columns }: Work): number => text + 2 * rows * columns;

export type Part = {
  of: 'attention' | 'step';
  device: DeviceName;
  threads: number;
  compute: Compute;
  work: Work;
  /** Runs at most. Those after the first, in which a device compiles its shaders, have `milliseconds` together. */
  runs: number;
  milliseconds: number;
};

export type Measured = {
  /** Of the fastest run. */
  milliseconds: number;
  /** MiB that the device's memory grew by at most, where that is known. */
  memory: number | undefined;
  /** MiB of a software device's buffers at most. */
  buffers: number | undefined;
  velocity?: Float32Array;
};

/** A double and two single blocks. */
export const synthetic = (): Synthetic => syntheticFlux(1, 2);

async function measure(part: Part): Promise<Measured> {
  const watch = new MemoryWatch();
  await watch.settled();
  const { all: before } = watch.take();
  const measured = await (part.of === 'attention' ? attend(part) : step(part));
  const { all: peak, buffers } = watch.take();
  await watch.end();
  return { ...measured, memory: before && peak && peak - before, buffers };
}

type Timed = Omit<Measured, 'memory' | 'buffers'>;

async function attend({ device, threads, compute, work, ...limits }: Part): Promise<Timed> {
  const [heads, width, tokens] = [24, 3072, tokensOf(work)];
  const graph = new Graph('attention');
  const x = graph.input('x', 'f32', [symbol('tokens'), width]);
  // One number for the host: a result that stays on the device is there before it has been computed.
  const y = attention(x, x, x, heads, compute);
  graph.output('most', op.reduce('ReduceMax', op.reduce('ReduceMax', y, 1), 0));
  const session = await Session.compile(graph, { device, threads });
  const feeds = { x: f32Tensor(pattern(tokens * width), [tokens, width]) };
  const milliseconds = await fastest(limits, async () => void (await session.run(feeds)));
  return { milliseconds };
}

async function step({ device, threads, compute, work, ...limits }: Part): Promise<Timed> {
  const { source, config, folder } = synthetic();
  const { rows, columns, text } = work;
  // `text` tokens, and no tokenizer: contexts and positions are made as the pipeline makes them.
  const given = conditioning({ rows, columns }, config, text);
  const sample = { x: pattern(rows * columns * config.inChannels), time: 500 };
  const preparedFile = path.join(folder, `device-${compute.precision}.safetensors`);
  const arena = device !== 'cpu';
  const loading = Transformer.load({ source, config }, compute, { device, threads, arena, preparedFile });
  const transformer = await finish(loading);
  let velocity: Float32Array = new Float32Array();
  const milliseconds = await fastest(limits, async () => {
    velocity = await transformer.velocity(sample, given);
  });
  return { milliseconds, velocity };
}

async function fastest(
  { runs, milliseconds }: Pick<Part, 'runs' | 'milliseconds'>,
  work: () => Promise<void>,
): Promise<number> {
  const timed = async () => {
    const begin = performance.now();
    await work();
    return performance.now() - begin;
  };
  let best = await timed();
  let left = milliseconds;
  for (let run = 1; run < runs && best < left; run++) {
    const last = await timed();
    left -= last;
    best = Math.min(best, last);
  }
  return best;
}

const [, , words] = process.argv;
if (import.meta.main && words !== undefined) {
  const measured = await measure(JSON.parse(words) as Part);
  // Exits without the runtime's clean-up, where a driver may crash: the result is sent already.
  process.send?.(measured, () => process.exit(0));
}
