import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { symbol } from '../../src/engine/onnx/dim.ts';
import { Graph } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import { f32Tensor, floats } from '../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { quantizeColumns } from '../../src/engine/weights/columns.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { openPrepared } from '../../src/engine/weights/prepared.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { finish } from '../fixtures/preparing.ts';
import { Tensors } from './checks/check.ts';
import { runTrace } from './checks/flux.ts';
import { difference, printRelativeL2 } from './compare.ts';
import { goldenFile } from './data.ts';
import { traceGraph } from './flux-trace.ts';
import { int8 as tolerance } from './tolerance.ts';

const device = { device: 'cpu', threads: 1 } as const;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-int8-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('the product of eight-bit numbers', () => {
  const [rows, inputs, outputs] = [5, 96, 40];
  const x = Float32Array.from({ length: rows * inputs }, (_, i) => Math.sin(i * 1.7) * (1 + (i % inputs)));
  const w = Float32Array.from({ length: outputs * inputs }, (_, i) => Math.cos(i * 0.9) * (1 + (i % 7)));

  test('is exactly that of the rounded values', async () => {
    const { values, scale } = quantizeColumns(w, outputs, inputs);
    const graph = new Graph('product');
    const input = graph.input('x', 'f32', [symbol('rows'), inputs]);
    const weight = graph.constant('i8', [inputs, outputs], new Uint8Array(values.buffer));
    const rounded = op.quantizeRows(input);
    const product = op.matmulInteger(rounded.values, weight, op.constant.f32(graph, scale, [outputs]));
    graph.output('y', op.mul(product, rounded.scale));
    const session = await Session.compile(graph, device);
    const { y } = await session.run({ x: f32Tensor(x, [rows, inputs]) });
    await session.release();

    const expected = new Float64Array(rows * outputs);
    for (let m = 0; m < rows; m++) {
      const row = x.subarray(m * inputs, (m + 1) * inputs);
      const unit = Math.fround(Math.max(...row.map(Math.abs)) * Math.fround(1 / 127));
      const quantized = Array.from(row, (value) => roundHalfEven(Math.fround(value / unit)));
      for (let n = 0; n < outputs; n++) {
        let sum = 0;
        for (let k = 0; k < inputs; k++) sum += quantized[k]! * values[k * outputs + n]!;
        expected[m * outputs + n] = sum * unit * scale[n]!;
      }
    }
    expect(difference(floats(y!), expected).relativeL2).toBeLessThan(1e-6);
  });

  test('keeps every weight within half a unit of its row', () => {
    const { values, scale } = quantizeColumns(w, outputs, inputs);
    for (let n = 0; n < outputs; n++)
      for (let k = 0; k < inputs; k++)
        expect(Math.abs(values[k * outputs + n]! * scale[n]! - w[n * inputs + k]!)).toBeLessThanOrEqual(
          scale[n]! * 0.5001,
        );
  });

  test('of a row of zeros is zero', () => {
    const { values, scale } = quantizeColumns(new Float32Array(inputs), 1, inputs);
    expect(scale[0]).toBe(0);
    expect(values.every((value) => value === 0)).toBe(true);
  });
});

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

describe('the transformer in int8', () => {
  const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
  const config = fluxConfig(source);
  const slots = traceGraph(source, config, { precision: 'f32', fused: true }).linears;
  const linears = slots.filter((slot) => !slot.precise);
  const file = path.join(folder, 'cache', 'flux-int8.safetensors');
  let first: Awaited<ReturnType<typeof finish>>;
  beforeAll(async () => {
    first = await finish(openPrepared(source, linears, { precision: 'int8', file }));
  });

  test('tells how far the making of its weights is', () => {
    expect(first.fractions).toHaveLength(linears.length);
    expect(first.fractions.at(-1)).toBe(1);
    expect(fs.readdirSync(path.dirname(file))).toEqual(['flux-int8.safetensors']);
  });

  test('makes its weights once, and again when the checkpoint changed', async () => {
    const again = await finish(openPrepared(source, linears, { precision: 'int8', file }));
    expect(again.fractions).toEqual([]);
    const copy = path.join(folder, 'flux_tiny.safetensors');
    fs.copyFileSync(goldenFile('flux_tiny.safetensors'), copy);
    const changed = new WeightSource(openCheckpoint(copy), fluxDialects);
    const other = await finish(openPrepared(changed, linears, { precision: 'int8', file }));
    expect(other.fractions).toHaveLength(linears.length);
    expect(openSafetensors(file).tensors.size).toBe(2 * linears.length);
    await finish(openPrepared(source, linears, { precision: 'int8', file }));
  });

  test.each(['t2i', 'ref', 'ref2_offset'])(
    'stays within its tolerance of the reference: %s',
    async (name) => {
      const { weights } = await finish(openPrepared(source, linears, { precision: 'int8', file }));
      const graph = traceGraph(source, config, { precision: 'int8', fused: true }, weights);
      expect(graph.nodes.filter((node) => node.op === 'MatMulIntegerToFloat')).toHaveLength(linears.length);
      const session = await Session.compile(graph, device);
      const io = new Tensors(goldenFile('flux_tiny_io.safetensors'));
      const results = await runTrace(session, config, io, name, 'none');
      await session.release();
      for (const [key, value] of Object.entries(results)) {
        const { relativeL2 } = difference(value, io.floats(`${name}.act.${key}`));
        printRelativeL2(`${name} ${key}`, relativeL2);
        expect(relativeL2, key).toBeLessThanOrEqual(tolerance);
      }
    },
  );
});
