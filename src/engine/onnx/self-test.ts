/**
 * What a device may be trusted with: every operator the engine relies on is computed there once and compared with
 * the CPU. Drivers and kernels have been seen to give wrong numbers without an error (a contrib attention kernel on a
 * software Vulkan device: relative error 0.12), and a wrong picture is worse than none.
 */
import { RetouchError } from '../../error.ts';
import { symbol } from './dim.ts';
import { Graph, type Var } from './graph.ts';
import * as op from './operators/index.ts';
import { type Device, f32Tensor, floats, Session, type Tensor } from './session.ts';

export type OperatorReport = {
  operator: string;
  error: number;
  tolerance: number;
  ok: boolean;
  reason?: string;
};
export type SelfTest = {
  device: Device;
  /** Whether the plain operators are right, without which the device is not used. */
  ok: boolean;
  /** Whether the fused attention and rotary embedding are right; otherwise plain operators stand in. */
  fused: boolean;
  /** Whether products in f16 are available and right. */
  half: boolean;
  report: OperatorReport[];
  reason?: string;
};

type Case = {
  operator: string;
  needs: 'ok' | 'fused' | 'half';
  tolerance: number;
  build: (x: Var, y: Var) => Var;
};

const [rows, width, heads] = [48, 64, 2];
const headWidth = width / heads;

const batch = (x: Var) => op.unsqueeze(x, 0);
const flat = (x: Var) => op.reshape(x, [rows, width]);
const image = (x: Var) => op.reshape(x, [1, 4, rows / 4, width]);
const table = (y: Var) =>
  op.split(op.reshape(y, [rows, width]), [headWidth / 2, width - headWidth / 2], 1)[0]!;
const ones = (x: Var) => op.constant.filled(x.graph, 1, width, 'f32');

const cases: Case[] = [
  { operator: 'Gemm', needs: 'ok', tolerance: 1e-5, build: (x, y) => op.matmulTransposed(x, y) },
  {
    operator: 'MatMul',
    needs: 'ok',
    tolerance: 1e-5,
    build: (x, y) => op.matmul(x, op.transpose(y, [1, 0])),
  },
  { operator: 'Softmax', needs: 'ok', tolerance: 1e-5, build: (x) => op.softmax(x) },
  { operator: 'Gelu', needs: 'ok', tolerance: 1e-5, build: (x) => op.gelu(x, 'tanh') },
  {
    operator: 'LayerNormalization',
    needs: 'ok',
    tolerance: 1e-5,
    build: (x) => op.layerNorm(x, ones(x), ones(x), 1e-6),
  },
  {
    operator: 'SimplifiedLayerNormalization',
    needs: 'ok',
    tolerance: 1e-5,
    build: (x) => op.rmsNorm(x, ones(x), 1e-6),
  },
  { operator: 'Conv', needs: 'ok', tolerance: 1e-5, build: (x, y) => conv(x, y) },
  { operator: 'Resize', needs: 'ok', tolerance: 1e-6, build: (x) => op.upsampleNearest(image(x), 2) },
  { operator: 'DepthToSpace', needs: 'ok', tolerance: 1e-6, build: (x) => op.pixelShuffle(image(x), 2) },
  { operator: 'Split, Concat, Slice', needs: 'ok', tolerance: 1e-6, build: (x, y) => shuffle(x, y) },
  {
    operator: 'RotaryEmbedding',
    needs: 'fused',
    tolerance: 1e-5,
    build: (x, y) => op.rotaryEmbedding(batch(x), table(y), table(x), heads),
  },
  {
    operator: 'MultiHeadAttention',
    needs: 'fused',
    tolerance: 1e-4,
    build: (x, y) => op.multiHeadAttention(batch(x), batch(y), batch(x), heads, 0.2),
  },
  {
    operator: 'Gemm f16',
    needs: 'half',
    tolerance: 5e-3,
    build: (x, y) => op.cast(op.matmulTransposed(op.cast(x, 'f16'), op.cast(y, 'f16')), 'f32'),
  },
];

function conv(x: Var, y: Var): Var {
  const kernel = op.reshape(op.split(flat(y), [36, width - 36], 1)[0]!, [rows, 4, 3, 3]);
  return op.conv2d(image(x), kernel, undefined, { pads: [1, 1, 1, 1] });
}

function shuffle(x: Var, y: Var): Var {
  const [left, right] = op.split(x, [16, width - 16], 1) as [Var, Var];
  const [, last] = op.splitRows(op.concat([op.concat([right, left], 1), y], 0), x);
  return op.mul(op.sigmoid(last), op.tanh(x));
}

const known = new Map<Device, Promise<SelfTest>>();

/** The self-test of a device, run once per process. */
export function selfTest(device: Device, threads = 1): Promise<SelfTest> {
  const test = known.get(device) ?? run(device, threads);
  known.set(device, test);
  return test;
}

/** @throws RetouchError `deviceUnusable` when the device is missing or fails an operator that nothing can replace */
export async function examineDevice(device: Device, threads: number): Promise<SelfTest> {
  const test = await selfTest(device, threads);
  if (test.ok) return test;
  const failed = test.report.filter((line) => !line.ok && line.reason === undefined);
  const why =
    test.reason ??
    failed.map(({ operator, error }) => `${operator} is off by ${error.toExponential(1)}`).join(', ');
  throw new RetouchError('deviceUnusable', `device ${device} cannot be used: ${why}`, { device });
}

async function run(device: Device, threads: number): Promise<SelfTest> {
  const report: OperatorReport[] = [];
  for (const test of cases) report.push(await compare(test, device, threads));
  const passed = (needs: Case['needs']) => cases.every((test, i) => test.needs !== needs || report[i]!.ok);
  const result = {
    device,
    ok: passed('ok'),
    fused: passed('fused'),
    half: device !== 'cpu' && passed('half'),
    report,
  };
  const reason = report.find((line) => line.reason !== undefined && !line.ok)?.reason;
  return reason !== undefined && !result.ok ? { ...result, reason } : result;
}

async function compare(test: Case, device: Device, threads: number): Promise<OperatorReport> {
  const { operator, tolerance } = test;
  try {
    const expected = await compute(test, 'cpu', threads);
    const found = device === 'cpu' ? expected : await compute(test, device, threads);
    const error = relativeL2(found, expected);
    return { operator, tolerance, error, ok: error <= tolerance };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return { operator, tolerance, error: Number.NaN, ok: false, reason };
  }
}

async function compute({ operator, build }: Case, device: Device, threads: number): Promise<Float32Array> {
  const graph = new Graph(`self-test ${operator}`);
  const x = graph.input('x', 'f32', [rows, width]);
  const y = graph.input('y', 'f32', [rows, width]);
  graph.output('out', build(flat(x), flat(y)));
  const session = await Session.compile(graph, { device, threads });
  try {
    const { out } = await session.run({ x: pattern(1), y: pattern(2) });
    return Float32Array.from(floats(out!));
  } finally {
    await session.release();
  }
}

function pattern(seed: number): Tensor {
  const values = Float32Array.from(
    { length: rows * width },
    (_, i) => Math.sin(i * (1.3 + seed) + seed) * 1.5,
  );
  return f32Tensor(values, [rows, width]);
}

/** NaN in either makes the result NaN, which passes no tolerance. */
function relativeL2(found: Float32Array, expected: Float32Array): number {
  let error = 0;
  let norm = 0;
  expected.forEach((value, i) => {
    error += (found[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(error / norm);
}
