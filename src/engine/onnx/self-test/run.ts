/** Asks a device of this process. */

import type { DeviceName } from '../device.ts';
import { Graph } from '../graph.ts';
import * as op from '../operators/index.ts';
import { Session } from '../session.ts';
import { f32Tensor, floats, type Tensor, tensor } from '../tensor.ts';
import type { Case, Need } from './case.ts';
import { pattern, type Values } from './reference.ts';

export type OperatorReport = {
  operator: string;
  need: Need;
  /** Relative L2 distance from the f64 answer; NaN when there was no answer. */
  error: number;
  tolerance: number;
  ok: boolean;
  /** Why there was no answer. */
  reason?: string;
};

/** @throws the runtime's error when the device does not exist */
export async function open(device: DeviceName): Promise<void> {
  await compute('presence', [pattern([4], 1)], (x) => op.add(x, 1), device, 1);
}

/** Whether an answer would change nothing, after those abilities were found missing. */
export function isSettled(need: Need, missing: readonly Need[]): boolean {
  return missing.includes(need) || (missing.includes('half') && need.startsWith('half'));
}

/**
 * Runs the cases in order. A wrong answer decides the ability it tests, so the ability's remaining cases are skipped; so is
 * attention in f16 on a device whose products in f16 are wrong.
 */
export async function* askAll(
  asked: readonly Case[],
  device: DeviceName,
  threads: number,
): AsyncGenerator<{ asking: Case } | { answer: OperatorReport }> {
  const settled: Need[] = [];
  for (const test of asked) {
    if (isSettled(test.need, settled)) continue;
    yield { asking: test };
    const answer = await ask(test, device, threads);
    if (!answer.ok) settled.push(test.need);
    yield { answer };
    if (settled.includes('device')) return;
  }
}

async function ask(test: Case, device: DeviceName, threads: number): Promise<OperatorReport> {
  const { operator, need, tolerance, inputs, build, expected, rows } = test;
  try {
    const all = await compute(operator, inputs, build, device, threads);
    const right = expected(...inputs);
    const error = relativeL2(rows ? rowsOf(all, rows, right.shape.at(-1)!) : all, right.data);
    return { operator, need, tolerance, error, ok: error <= tolerance };
  } catch (cause) {
    return noAnswer(test, cause instanceof Error ? cause.message : String(cause));
  }
}

export function noAnswer({ operator, need, tolerance }: Case, reason: string): OperatorReport {
  return { operator, need, tolerance, error: Number.NaN, ok: false, reason };
}

async function compute(
  name: string,
  inputs: readonly Values[],
  build: Case['build'],
  device: DeviceName,
  threads: number,
): Promise<Float32Array> {
  const graph = new Graph(`self-test: ${name}`);
  const vars = inputs.map(({ dtype, shape }, i) => graph.input(`x${i}`, dtype, shape));
  graph.output('out', build(...vars));
  const session = await Session.compile(graph, { device, threads });
  try {
    const { out } = await session.run(
      Object.fromEntries(inputs.map((values, i) => [`x${i}`, toTensor(values)])),
    );
    return floats(out!);
  } finally {
    await session.release();
  }
}

function toTensor({ dtype, shape, data }: Values): Tensor {
  if (dtype === 'f32') return f32Tensor(Float32Array.from(data), shape);
  return tensor('i64', BigInt64Array.from(data, BigInt), shape);
}

function rowsOf(values: Float32Array, rows: readonly number[], width: number): Float32Array {
  const found = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    found.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return found;
}

/** A NaN on either side makes the result NaN, which passes no tolerance. */
function relativeL2(found: Float32Array, expected: Float64Array): number {
  if (found.length !== expected.length) return Number.NaN;
  let [error, norm] = [0, 0];
  expected.forEach((value, i) => {
    error += (found[i]! - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(error / norm);
}
