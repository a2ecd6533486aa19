/**
 * The self-test of a device: every operator the engine relies on is computed there once and compared with the answer in
 * f64. Kernels have been seen to give wrong numbers without an error (a fused attention on a software Vulkan
 * device: relative error 0.12), and a wrong image is worse than none.
 */
import { EngineError } from '../errors.ts';
import type { DeviceName } from './device.ts';
import type { Case, Need } from './self-test/case.ts';
import { casesFor } from './self-test/cases.ts';
import { type Answers, type AskOptions, askInProcess } from './self-test/process.ts';
import { askAll, type OperatorReport } from './self-test/run.ts';

export type SelfTest = {
  device: DeviceName;
  /** Whether the plain operators are right, without which the device is not used. */
  ok: boolean;
  /** Whether the fused attention and rotary embedding are right; otherwise plain operators stand in. */
  fused: boolean;
  /** Whether products in f16 are available and right. */
  half: boolean;
  /** Whether products of eight-bit integers are right. */
  int8: boolean;
  /** Whether products with weights in blocks of eight and of four bits are right. */
  blocks8: boolean;
  blocks4: boolean;
  report: OperatorReport[];
  /** Why `ok` is false. */
  reason?: string;
};

const known = new Map<DeviceName, Promise<SelfTest>>();

/** The self-test of a device, run once per process. Never throws: faults are in the result. */
export function selfTest(device: DeviceName, threads = 1): Promise<SelfTest> {
  const test = known.get(device) ?? examine(device, threads);
  known.set(device, test);
  return test;
}

/** @throws RetouchError `deviceUnusable` when the device is missing or fails an operator that nothing can replace */
export async function examineDevice(device: DeviceName, threads: number): Promise<SelfTest> {
  const test = await selfTest(device, threads);
  if (test.ok) return test;
  throw new EngineError('deviceUnusable', `device ${device} cannot be used: ${test.reason}`, { device });
}

export async function examine(device: DeviceName, threads: number, options?: AskOptions): Promise<SelfTest> {
  // CPU kernels run in this process anyway: isolating them would gain nothing.
  if (device === 'cpu') return judge(device, await askHere(casesFor(device), device, threads));
  return judge(device, await askInProcess(device, threads, options));
}

export async function askHere(cases: readonly Case[], device: DeviceName, threads: number): Promise<Answers> {
  const report: OperatorReport[] = [];
  for await (const step of askAll(cases, device, threads)) if ('answer' in step) report.push(step.answer);
  return { report };
}

export function judge(device: DeviceName, { report, missing }: Answers): SelfTest {
  const passed = (need: Need) => {
    const lines = report.filter((line) => line.need === need);
    return lines.length > 0 && lines.every((line) => line.ok);
  };
  const ok = missing === undefined && passed('device');
  const half = ok && passed('half');
  return {
    device,
    ok,
    half,
    fused: ok && passed('fused') && (!half || passed('fused half')),
    int8: ok && passed('int8'),
    blocks8: ok && passed('blocks8'),
    blocks4: ok && passed('blocks4'),
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
