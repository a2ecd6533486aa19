/**
 * A device: products, attention and a step of a transformer of FLUX.1's width (one double and two single blocks), and an edit
 * by the embedded model. Shares are of what the device's own best product reaches. A step's velocity is compared with the
 * CPU's in f32, which includes the rounding of weights; at the smallest size so is the CPU's in the same precision. The
 * difference of an edit is the PSNR of the device's and the CPU's picture in the same precision, in dB.
 *
 * `npm run bench -- device --device webgpu --minutes 4`
 */
import { transformerBytes } from '../src/engine/models/flux-memory.ts';
import { attentionCompute } from '../src/engine/networks/attention-shapes.ts';
import { ablePrecisions, bytesPerWeight } from '../src/engine/networks/precision.ts';
import { measureInProcess } from '../src/engine/onnx/self-test/process.ts';
import { examineDevice } from '../src/engine/onnx/self-test.ts';
import { countOf } from '../src/engine/weights/stored.ts';
import type { Compute } from '../src/engine/weights/weights.ts';
import { edit } from './device-edit.ts';
import { type Measured, synthetic, tokensOf, type Work } from './device-part.ts';
import { leftOut, type Missing, TimeLimit } from './device-parts.ts';
import { inDecibels, type Options, type Row, round } from './measure.ts';

/** Of eight-bit integers only the CPU has products. */
export const devicePrecisions = ['f32', 'f16', 'int8-blocks', 'int4'] as const;
export type DevicePrecision = (typeof devicePrecisions)[number];

/** The last is the edit of a megapixel with one reference. */
const works: readonly Work[] = [
  { text: 16, rows: 4, columns: 4 },
  { text: 512, rows: 16, columns: 32 },
  { text: 512, rows: 64, columns: 64 },
];
export const deviceTokens: readonly number[] = works.map(tokensOf);

const [heads, hidden] = [24, 3072];
/** Blocks of the transformer. */
const blockCount = 3;
/** Multiply-adds are two operations; a block's modulation is left out. */
const productOperations = (tokens: number) => 24 * tokens * hidden ** 2;
const attentionOperations = (tokens: number) => 4 * tokens ** 2 * hidden;

/** GFLOP/s, as far as they are known: predictions are made of them. */
type Speeds = { products: Map<DevicePrecision, number>; attention: number; cpu: number };

/** Loading, first conversion of the weights included, takes about so long on two cores; milliseconds. */
const loading = 20_000;

export async function device(options: Options): Promise<Row[]> {
  const { threads, runs, device: settings } = options;
  const { name: device, minutes, tokens, precisions } = settings;
  const limit = new TimeLimit(minutes);
  const shape = { heads, headWidth: hidden / heads, tokens: tokensOf(works.at(-1)!), bias: 'none' } as const;
  const test = await examineDevice(device, { threads, shapes: [shape] });
  const able = precisions.filter((name) => ablePrecisions(test).includes(name));
  const speeds: Speeds = { products: new Map(), attention: 0, cpu: 0 };
  const rows: Row[] = [];
  const add = (cells: Cells) => {
    const made = row(cells);
    rows.push(made);
    // The table comes at the end; whoever ends the benchmark before has these.
    process.stderr.write(
      `${Object.entries(made)
        .filter(([, cell]) => cell !== '')
        .map(([column, cell]) => `${column}: ${cell}`)
        .join(', ')}\n`,
    );
  };

  const times = await measureInProcess(device, { threads, forms: able, half: test.half });
  for (const precision of able) {
    const milliseconds = times[precision];
    if (milliseconds === undefined) {
      add({ of: 'product', precision, tokens: 1000, missing: 'no answer' });
      continue;
    }
    const speed = (2 * 1000 * hidden ** 2) / milliseconds / 1e6;
    speeds.products.set(precision, speed);
    speeds.attention ||= speed;
    add({ of: 'product', precision, tokens: 1000, milliseconds, speed });
  }
  const best = Math.max(...speeds.products.values());

  for (const [i, work] of works.entries()) {
    const count = tokensOf(work);
    if (!tokens.includes(count)) continue;
    const attentionOf = (compute: Compute) => attentionCompute(compute, test, { ...shape, tokens: count });
    const common = { device, threads, work, runs } as const;
    if (i > 0) {
      const compute = { precision: 'f32', ...attentionOf({ precision: 'f32', fused: false }) } as const;
      const operations = attentionOperations(count);
      const measured = await limit.measure(
        { ...common, of: 'attention', compute },
        operations / speeds.attention / 1e6,
      );
      const speed = speedOf(operations, measured);
      speeds.attention = speed ?? speeds.attention;
      const of = compute.fused ? 'attention (fused)' : `attention (${compute.queryBlocks} blocks)`;
      add({ of, precision: 'f32', tokens: count, ...measured, speed, share: speed && speed / best });
    }
    const reference = await cpuVelocity('f32', work, { limit, speeds, threads });
    for (const precision of able) {
      const plain = { precision, half: test.half, fused: false };
      const compute: Compute = { ...plain, ...attentionOf(plain), waits: device === 'webgpu' };
      const product = speeds.products.get(precision) ?? best;
      const predicted =
        (blockCount * (productOperations(count) / product + attentionOperations(count) / speeds.attention)) /
        1e6;
      const measured = await limit.measure({ ...common, of: 'step', compute }, loading + predicted);
      const speed = speedOf(blockCount * (productOperations(count) + attentionOperations(count)), measured);
      const cpu = i > 0 ? undefined : await cpuVelocity(precision, work, { limit, speeds, threads });
      const velocity = 'velocity' in measured ? measured.velocity : undefined;
      add({
        ...{ of: `step of ${blockCount} blocks`, precision, tokens: count, ...measured, speed },
        ...{ share: speed && speed / best, ...difference(velocity, reference) },
        ...{ cpuError: precision === 'f32' ? undefined : difference(cpu, reference).error },
        ...{
          ofCpu: difference(velocity, cpu).error,
          predictedMemory: predictedMemory(compute, device, count),
        },
      });
    }
    if (i === 0) for (const precision of able) add(await editCells(precision, { limit, device, threads }));
  }
  return rows;
}

type Limits = { limit: TimeLimit; threads: number };

async function cpuVelocity(
  precision: DevicePrecision,
  work: Work,
  { limit, speeds, threads }: Limits & { speeds: Speeds },
): Promise<Float32Array | undefined> {
  const count = tokensOf(work);
  const operations = blockCount * (productOperations(count) + attentionOperations(count));
  const compute = { precision, fused: true, bandRows: 256 } as const;
  const part = { of: 'step', device: 'cpu', threads, compute, work, runs: 1 } as const;
  const predicted = speeds.cpu > 0 ? loading + operations / speeds.cpu / 1e6 : 0;
  const measured = await limit.measure(part, predicted);
  if ('missing' in measured) return undefined;
  if (precision === 'f32') speeds.cpu = speedOf(operations, measured)!;
  return measured.velocity;
}

async function editCells(
  precision: DevicePrecision,
  { limit, device, threads }: Limits & { device: Options['device']['name'] },
): Promise<Cells> {
  const cells = { of: 'edit, 4 steps, embedded', precision };
  const { left } = limit;
  if (left < loading) return { ...cells, ...leftOut(loading) };
  const { milliseconds, decibels } = await edit(device, precision, { threads, left });
  return { ...cells, milliseconds, decibels };
}

function speedOf(operations: number, measured: Measured | Missing): number | undefined {
  return 'missing' in measured ? undefined : operations / measured.milliseconds / 1e6;
}

function predictedMemory(compute: Compute, device: Options['device']['name'], tokens: number): number {
  const { source, config } = synthetic();
  const weights = source.entries.reduce((sum, { shape }) => sum + countOf(shape), 0);
  const work = { device, tokens, imagePromptTokens: 0, cachedPasses: 0, keptReferences: 0 };
  const bytes = bytesPerWeight(compute.precision, device, false) * weights;
  return Math.round((bytes + transformerBytes(config, compute, work)) / 2 ** 20);
}

type Difference = { error: number | undefined; most: number | undefined };

/** Relative L2 and the largest difference. */
function difference(found: Float32Array | undefined, expected: Float32Array | undefined): Difference {
  if (!found || !expected || found === expected) return { error: undefined, most: undefined };
  let [error, norm, most] = [0, 0, 0];
  expected.forEach((value, i) => {
    const off = Math.abs(found[i]! - value);
    error += off ** 2;
    norm += value ** 2;
    most = Math.max(most, off);
  });
  return { error: Math.sqrt(error / norm), most };
}

type Cells = {
  of: string;
  precision: string;
  tokens?: number;
  milliseconds?: number;
  missing?: string;
  speed?: number | undefined;
  share?: number | undefined;
  error?: number | undefined;
  most?: number | undefined;
  cpuError?: number | undefined;
  ofCpu?: number | undefined;
  decibels?: number;
  memory?: number | undefined;
  buffers?: number | undefined;
  predictedMemory?: number;
};

function row(cells: Cells): Row {
  const { of, precision, tokens, milliseconds, missing, speed, share, memory, buffers, predictedMemory } =
    cells;
  const ratio = (value: number | undefined) => value?.toExponential(1) ?? '';
  return {
    of,
    precision,
    tokens: tokens ?? '',
    ms: milliseconds === undefined ? (missing ?? '') : Number(milliseconds.toPrecision(3)),
    'GFLOP/s': speed === undefined ? '' : Number(speed.toPrecision(3)),
    share: share === undefined ? '' : `${round(100 * share)} %`,
    'off f32': ratio(cells.error),
    'at most': ratio(cells.most),
    'CPU off f32': ratio(cells.cpuError),
    'off the CPU': cells.decibels === undefined ? ratio(cells.ofCpu) : `${inDecibels(cells.decibels)} dB`,
    'peak MiB': memory ?? '',
    'buffers MiB': buffers ?? '',
    'predicted MiB': missing === undefined ? (predictedMemory ?? '') : '',
  };
}
