/**
 * The self-test of a device: every operator the engine relies on is computed there once and compared with the answer in
 * f64. Kernels have been seen to give wrong numbers without an error (a fused attention on a software Vulkan
 * device: relative error 0.12), and a wrong image is worse than none.
 */
import { EngineError } from '../errors.ts';
import type { DeviceName } from './device.ts';
import { type AttentionShape, attentionKey } from './self-test/attention-cases.ts';
import type { Case, Need } from './self-test/case.ts';
import { casesFor } from './self-test/cases.ts';
import { type Answers, type AskOptions, askInProcess } from './self-test/process.ts';
import { askAll, type OperatorReport } from './self-test/run.ts';

export type { AttentionShape } from './self-test/attention-cases.ts';

export type SelfTest = {
  device: DeviceName;
  /** Whether the plain operators are right, without which the device is not used. */
  ok: boolean;
  /** Whether products of f16 operands are summed in f32. */
  half: boolean;
  /** Whether weights in f16 can be widened to f32 in the product. */
  widened: boolean;
  /** Whether products of eight-bit integers are right. */
  int8: boolean;
  /** Whether products with weights in blocks of eight and of four bits are right. */
  blocks8: boolean;
  blocks4: boolean;
  /** Abilities whose cases were all right. */
  passed: readonly Need[];
  report: OperatorReport[];
  /** Why `ok` is false. */
  reason?: string;
};

/**
 * Whether fused attention of a shape and fused rotary embedding are right, with operands of f16 or f32; otherwise plain
 * operators stand in.
 */
export function isFused({ passed }: Pick<SelfTest, 'passed'>, shape: AttentionShape, half: boolean): boolean {
  const key = attentionKey(shape);
  return passed.includes('rotary') && passed.includes(half ? `half attention ${key}` : `attention ${key}`);
}

const known = new Map<string, Promise<SelfTest>>();

export type Asked = { threads?: number; shapes?: readonly AttentionShape[] };

/**
 * The self-test of a device, run once per process and set of attention shapes. Never throws: faults are in the result.
 */
export function selfTest(device: DeviceName, { threads = 1, shapes = [] }: Asked = {}): Promise<SelfTest> {
  const key = [device, ...new Set(shapes.map(attentionKey))].join();
  const test = known.get(key) ?? examine(device, { threads, shapes });
  known.set(key, test);
  return test;
}

/** @throws RetouchError `deviceUnusable` when the device is missing or fails an operator that nothing can replace */
export async function examineDevice(device: DeviceName, asked: Asked): Promise<SelfTest> {
  const test = await selfTest(device, asked);
  if (test.ok) return test;
  const hint =
    device === 'cuda' && test.report.length === 0
      ? `. 'retouch doctor --device cuda' says which of its libraries are missing`
      : '';
  throw new EngineError('deviceUnusable', `device ${device} cannot be used: ${test.reason}${hint}`, {
    device,
  });
}

export async function examine(
  device: DeviceName,
  { threads = 1, shapes = [] }: Asked,
  options?: AskOptions,
): Promise<SelfTest> {
  // CPU kernels run in this process anyway: isolating them would gain nothing.
  if (device === 'cpu') return judge(device, await askHere(casesFor(device, shapes), device, threads));
  return judge(device, await askInProcess(device, { threads, shapes }, options));
}

export async function askHere(cases: readonly Case[], device: DeviceName, threads: number): Promise<Answers> {
  const report: OperatorReport[] = [];
  for await (const step of askAll(cases, device, threads)) if ('answer' in step) report.push(step.answer);
  return { report };
}

export function judge(device: DeviceName, { report, missing }: Answers): SelfTest {
  const wrong = new Set(report.filter((line) => !line.ok).map((line) => line.need));
  const right = new Set(report.map((line) => line.need).filter((need) => !wrong.has(need)));
  const ok = missing === undefined && right.has('device');
  const passed = ok ? [...right] : [];
  return {
    device,
    ok,
    half: passed.includes('half'),
    widened: passed.includes('widened'),
    int8: passed.includes('int8'),
    blocks8: passed.includes('blocks8'),
    blocks4: passed.includes('blocks4'),
    passed,
    report,
    ...(ok ? {} : { reason: missing === undefined ? failures(report) : `it is not there: ${tail(missing)}` }),
  };
}

function failures(report: readonly OperatorReport[]): string {
  const failed = report.filter(({ need, ok }) => need === 'device' && !ok);
  const lines = failed.map(({ operator, error, tolerance, reason }) =>
    reason === undefined
      ? `${operator} is off by ${error.toExponential(1)}, expected at most ${tolerance}`
      : `${operator}: ${tail(reason)}`,
  );
  return lines.join('; ');
}

/** ONNX Runtime's messages begin with the place in its source. */
function tail(message: string): string {
  return message
    .replace(/^.*\bwas false\. /s, '')
    .replace(/\s+/g, ' ')
    .trim();
}
