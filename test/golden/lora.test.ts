import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import type { LoraSlot } from '../../src/engine/onnx/graph.ts';
import { f32Tensor, Session, type Tensor, tensor } from '../../src/engine/onnx/session.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { toFloats } from '../../src/engine/weights/floats.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { Tensors } from './checks/check.ts';
import { runTrace } from './checks/flux.ts';
import { difference } from './compare.ts';
import { goldenFile } from './data.ts';
import { traceGraph } from './flux-trace.ts';
import { block } from './tolerance.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-lora-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const device = { device: 'cpu', threads: 1 } as const;
const compute = { product: 'f32', fused: true } as const;
const io = new Tensors(goldenFile('flux_tiny_io.safetensors'));
const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
const config = fluxConfig(source);
const rank = 3;

type Adapter = { slot: LoraSlot; a: Float32Array; b: Float32Array };

function makeAdapter(slot: LoraSlot, seed: number): Adapter {
  const wave = (count: number, phase: number) =>
    Float32Array.from({ length: count }, (_, i) => 0.2 * Math.sin(i * 1.3 + phase));
  return { slot, a: wave(slot.inputs * rank, seed), b: wave(rank * slot.outputs, seed + 1) };
}

/** The checkpoint with every adapter merged: W[n, k] + Σ_r A[k, r]·B[r, n]. */
function mergedFile(adapters: readonly Adapter[]): string {
  const stored: Record<string, StoredTensor> = {};
  for (const [name, entry] of source.checkpoint.tensors) {
    const values = toFloats(readBytes(entry), entry.dtype);
    const adapter = adapters.find(({ slot }) => `${slot.name}.weight` === name);
    if (adapter) merge(values, adapter);
    stored[name] = f32([...values], entry.shape);
  }
  const file = path.join(folder, 'merged.safetensors');
  writeSafetensors(file, stored, { ...source.checkpoint.metadata });
  return file;
}

function merge(weight: Float32Array, { slot: { inputs, outputs }, a, b }: Adapter): void {
  for (let n = 0; n < outputs; n++)
    for (let k = 0; k < inputs; k++)
      for (let r = 0; r < rank; r++) weight[n * inputs + k]! += a[k * rank + r]! * b[r * outputs + n]!;
}

function feedsOf(adapters: readonly Adapter[]): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = { lora_rows: tensor('i64', BigInt64Array.of(1n << 40n), [1]) };
  for (const { slot, a, b } of adapters) {
    feeds[`${slot.name}.lora_a`] = f32Tensor(a, [slot.inputs, rank]);
    feeds[`${slot.name}.lora_b`] = f32Tensor(b, [rank, slot.outputs]);
  }
  return feeds;
}

async function run(from: WeightSource, feeds: Record<string, Tensor>): Promise<Record<string, Float32Array>> {
  const session = await Session.compile(traceGraph(from, config, compute), device);
  const results = await runTrace(session, config, io, 'ref', 'none', feeds);
  await session.release();
  return results;
}

test('a low-rank update of every linear layer gives what merging it into the weights gives', async () => {
  const slots = traceGraph(source, config, compute).loraSlots;
  // Every weight matrix of the transformer is a linear layer that takes an update.
  const matrices = [...source.checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2);
  expect(slots.map((slot) => `${slot.name}.weight`).sort()).toEqual(matrices.map(({ name }) => name).sort());

  const adapters = slots.map(makeAdapter);
  const found = await run(source, feedsOf(adapters));
  const merged = new WeightSource(openCheckpoint(mergedFile(adapters)), fluxDialects);
  const expected = await run(merged, {});
  const plain = await run(source, {});
  for (const [name, value] of Object.entries(expected))
    expect(difference(found[name]!, value).relativeL2, name).toBeLessThanOrEqual(block);
  expect(difference(found.final!, plain.final!).relativeL2).toBeGreaterThan(0.1);
});

test('an update of one layer leaves the others to their empty ones', async () => {
  const slot = traceGraph(source, config, compute).loraSlots.find(
    ({ name }) => name === 'single_blocks.1.linear2',
  )!;
  const adapter = makeAdapter(slot, 5);
  const found = await run(source, feedsOf([adapter]));
  const plain = await run(source, {});
  expect(found['single.0']).toEqual(plain['single.0']);
  expect(difference(found['single.1']!, plain['single.1']!).relativeL2).toBeGreaterThan(1e-3);
});
