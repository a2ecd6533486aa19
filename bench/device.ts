/**
 * A device: products, attention, a block and a step of a transformer of FLUX.1's width (one double and two single blocks),
 * and an edit by the embedded model. Shares are of what the device's own best product reaches; `off the CPU` is the relative
 * L2 distance of a velocity from the CPU's in the same precision, for an edit the PSNR of the pictures in dB.
 *
 * `npm run bench -- device --device webgpu`
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { decodeImage } from '../src/engine/image/image-codec.ts';
import { transformerBytes } from '../src/engine/models/flux-memory.ts';
import { attentionCompute } from '../src/engine/networks/attention-shapes.ts';
import { ablePrecisions, bytesPerWeight } from '../src/engine/networks/precision.ts';
import { Transformer } from '../src/engine/networks/transformer.ts';
import { attention } from '../src/engine/nn/attention.ts';
import { symbol } from '../src/engine/onnx/dim.ts';
import { Graph } from '../src/engine/onnx/graph.ts';
import { measureProducts } from '../src/engine/onnx/self-test/products.ts';
import { examineDevice, type SelfTest } from '../src/engine/onnx/self-test.ts';
import { Session } from '../src/engine/onnx/session.ts';
import { f32Tensor } from '../src/engine/onnx/tensor.ts';
import type { DeviceName } from '../src/engine/plan.ts';
import { plainNumerics, plainPlan } from '../src/engine/plan.ts';
import { EngineHost } from '../src/engine/process/host.ts';
import { countOf } from '../src/engine/weights/stored.ts';
import type { Compute } from '../src/engine/weights/weights.ts';
import { ModelStore } from '../src/store/models.ts';
import { MemoryWatch } from './device-memory.ts';
import { conditioning, finish, pattern } from './layers.ts';
import { fastest, type Options, type Row, round } from './measure.ts';
import { blockOperations, type Synthetic, syntheticFlux } from './widths.ts';

const precisions = ['f32', 'f16', 'int8-blocks', 'int4'] as const;
type Precision = (typeof precisions)[number];

/** Rows of tokens of a square image whose edit with itself as reference, beside `text` tokens, is measured. */
type Work = { side: number; text: number };
const [small, large]: Work[] = [
  { side: 8, text: 64 },
  { side: 64, text: 512 },
];
const tokensOf = ({ side, text }: Work) => text + 2 * side ** 2;

/** Milliseconds of a layer for a thousand tokens above which only small work is measured. */
const slow = 300;

export async function device(options: Options): Promise<Row[]> {
  const { device = 'webgpu', threads } = options;
  const shape = { heads: 24, headWidth: 128, tokens: tokensOf(large!), bias: 'none' } as const;
  const test = await examineDevice(device, { threads, shapes: [shape] });
  const able = precisions.filter((name) => ablePrecisions(test).includes(name));
  const watch = new MemoryWatch();
  const rows: Row[] = [];
  let [best, isSlow] = [0, false];
  for await (const { form, milliseconds } of measureProducts(device, threads, {
    forms: able,
    half: test.half,
  })) {
    const speed = (2 * 1000 * 3072 ** 2) / milliseconds / 1e6;
    best = Math.max(best, speed);
    isSlow ||= milliseconds > slow;
    rows.push(
      row({ of: 'product', precision: form, tokens: 1000, milliseconds, speed, memory: watch.take() }),
    );
  }
  const works = isSlow ? [small!] : [small!, large!];
  const share = (speed: number) => `${round((100 * speed) / best)} %`;
  const synthetic = syntheticFlux(1, 2);
  for (const work of works) {
    const milliseconds = await attend(test, tokensOf(work), options);
    const speed = (4 * tokensOf(work) ** 2 * 3072) / milliseconds / 1e6;
    const of = attentionCompute({ precision: 'f32', fused: false }, test, shape).fused ? 'fused' : 'blocks';
    rows.push(
      row({
        of: `attention (${of})`,
        precision: 'f32',
        tokens: tokensOf(work),
        milliseconds,
        speed,
        share: share(speed),
        memory: watch.take(),
      }),
    );
  }
  for (const precision of able) {
    const compute = { precision, half: test.half, fused: false };
    const all = { ...compute, ...attentionCompute(compute, test, shape) };
    const gpu = await load(synthetic, all, { device, threads });
    const parity = await velocityDistance(synthetic, gpu, { work: small!, precision, threads });
    for (const work of works) {
      watch.take();
      const milliseconds = await fastest(options.runs, () => velocity(synthetic, gpu, work));
      const tokens = tokensOf(work);
      const speed = (3 * blockOperations(synthetic.config, tokens)) / milliseconds / 1e6;
      const predicted =
        bytesPerWeight(precision, device, false) * weightsOf(synthetic) +
        transformerBytes(synthetic.config, all, {
          tokens,
          imagePromptTokens: 0,
          cachedPasses: 0,
          keptReferences: 0,
        });
      const cells = { precision, tokens, milliseconds, speed, share: share(speed) };
      const memory = { memory: watch.take(), predicted: Math.round(predicted / 2 ** 20) };
      rows.push(row({ of: 'step of 3 blocks', ...cells, parity: work === small ? parity : '', ...memory }));
    }
    await gpu.release();
  }
  for (const precision of able) rows.push(await edit(device, precision, threads));
  await watch.end();
  return rows;
}

type Cells = {
  of: string;
  precision: string;
  tokens?: number;
  milliseconds: number;
  speed?: number;
  share?: string;
  parity?: string;
  memory?: number | string;
  predicted?: number;
};

function row({ of, precision, tokens, milliseconds, speed, share, parity, memory, predicted }: Cells): Row {
  return {
    of,
    precision,
    tokens: tokens ?? '',
    ms: Number(milliseconds.toPrecision(3)),
    'GFLOP/s': speed === undefined ? '' : Number(speed.toPrecision(3)),
    share: share ?? '',
    'off the CPU': parity ?? '',
    'peak MiB': memory ?? '',
    'predicted MiB': predicted ?? '',
  };
}

async function attend(test: SelfTest, tokens: number, { threads, runs }: Options): Promise<number> {
  const [heads, width] = [24, 3072];
  const compute: Compute = { precision: 'f32', fused: false };
  const shape = { heads, headWidth: width / heads, tokens, bias: 'none' } as const;
  const graph = new Graph('attention');
  const x = graph.input('x', 'f32', [symbol('tokens'), width]);
  const y = attention(x, x, x, heads, { ...compute, ...attentionCompute(compute, test, shape) });
  graph.output('y', y);
  const { device } = test;
  const session = await Session.compile(graph, { device, threads, results: 'device' });
  const feeds = { x: f32Tensor(pattern(tokens * width), [tokens, width]) };
  const milliseconds = await fastest(runs, async () => {
    const results = await session.run(feeds);
    results.y?.dispose?.();
  });
  await session.release();
  return milliseconds;
}

function load(
  { source, config, folder }: Synthetic,
  compute: Compute,
  session: { device: DeviceName; threads: number },
): Promise<Transformer> {
  const preparedFile = path.join(folder, `device-${compute.precision}.safetensors`);
  return finish(Transformer.load({ source, config }, compute, { ...session, preparedFile }));
}

function velocity(
  { config }: Synthetic,
  transformer: Transformer,
  { side, text }: Work,
): Promise<Float32Array> {
  const given = conditioning({ rows: side, columns: side }, config, text);
  return transformer.velocity({ x: pattern(side ** 2 * config.inChannels), time: 500 }, given);
}

async function velocityDistance(
  synthetic: Synthetic,
  gpu: Transformer,
  { work, precision, threads }: { work: Work; precision: Precision; threads: number },
): Promise<string> {
  const cpu = await load(synthetic, { precision, fused: true }, { device: 'cpu', threads });
  const expected = await velocity(synthetic, cpu, work);
  await cpu.release();
  const found = await velocity(synthetic, gpu, work);
  let [error, norm] = [0, 0];
  expected.forEach((value, i) => {
    error += (found[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(error / norm).toExponential(1);
}

function weightsOf({ source }: Synthetic): number {
  return source.entries.reduce((sum, { shape }) => sum + countOf(shape), 0);
}

async function edit(device: DeviceName, precision: Precision, threads: number): Promise<Row> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-device-'));
  const store = await ModelStore.scan({ models: folder, cache: folder });
  const { source } = store.find('retouch:mini@1')!;
  const host = new EngineHost({ threads });
  const picture = fs.readFileSync(new URL('../examples/scene-car.png', import.meta.url));
  const draw = async (on: DeviceName, name: Precision) => {
    const plan = {
      ...plainPlan,
      ...{ model: { ...source, cacheFolder: folder }, prompt: 'make the car blue', references: [picture] },
      ...{ width: 1024, height: 1024, seed: 1n, steps: 4, guidance: 2.5 },
      numerics: { ...plainNumerics, device: on, precision: name },
      output: { format: 'png', quality: 95 },
    } as const;
    const begin = performance.now();
    for await (const event of host.run(plan))
      if (event.type === 'image')
        return {
          milliseconds: performance.now() - begin,
          pixels: (await decodeImage(event.image.bytes)).data,
        };
    throw new Error('the run ended without a picture');
  };
  const cpu = await draw('cpu', precision);
  await draw(device, precision);
  const { milliseconds, pixels } = await draw(device, precision);
  await host.close();
  fs.rmSync(folder, { recursive: true });
  return row({
    of: 'edit, 4 steps, embedded',
    precision,
    milliseconds,
    parity: `${psnr(pixels, cpu.pixels)} dB`,
  });
}

function psnr(a: Uint8Array, b: Uint8Array): string {
  const square = a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0) / a.length;
  return square === 0 ? '∞' : (10 * Math.log10(255 ** 2 / square)).toFixed(1);
}
