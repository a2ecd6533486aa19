import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { layerFeed } from '../../src/engine/adapters/lora/feed.ts';
import type { PreparedLayer } from '../../src/engine/adapters/lora/prepare.ts';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { loraInput } from '../../src/engine/nn/lora.ts';
import type { LinearLayer } from '../../src/engine/onnx/graph.ts';
import { Session } from '../../src/engine/onnx/session.ts';
import type { Feeds } from '../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { joinFloats, toFloats } from '../../src/engine/weights/floats.ts';
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
const compute = { precision: 'f32', fused: true } as const;
const io = new Tensors(goldenFile('flux_tiny_io.safetensors'));
const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
const config = fluxConfig(source);
const rank = 3;

type Adapter = { slot: LinearLayer; a: Float32Array; b: Float32Array };

function makeAdapter(slot: LinearLayer, seed: number): Adapter {
  const wave = (count: number, phase: number) =>
    Float32Array.from({ length: count }, (_, i) => 0.2 * Math.sin(i * 1.3 + phase));
  return { slot, a: wave(slot.inputs * rank, seed), b: wave(rank * slot.outputs, seed + 1) };
}

/** The checkpoint with every adapter merged: W[n, k] + Σ_r A[k, r]·B[r, n]. */
function mergedFile(adapters: readonly Adapter[]): string {
  const stored: Record<string, StoredTensor> = {};
  for (const [name, entry] of source.checkpoint.tensors) {
    const values = toFloats(readBytes(entry), entry.dtype);
    for (const adapter of adapters) if (`${adapter.slot.name}.weight` === name) merge(values, adapter);
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

/** All parts of a layer share one A, or each has its own. */
type Layout = 'shared' | 'own';

function layerOf({ slot, a, b }: Adapter, layout: Layout): PreparedLayer {
  const shared = { rank, values: a };
  const parts = columns(b, slot).map((b) => ({ a: layout === 'own' ? { ...shared } : shared, b }));
  return { slot, parts, gain: undefined, inputGains: [], kroneckers: [] };
}

/** Every list of adapters is a LoRA, all of which act together. */
function updatesOf(...loras: [adapters: readonly Adapter[], layout: Layout][]): Feeds {
  const layers = loras.flatMap(([adapters, layout]) => adapters.map((adapter) => layerOf(adapter, layout)));
  const bySlot = Map.groupBy(layers, ({ slot }) => slot.name);
  const feeds = [...bySlot.values()].map((list) => layerFeed(list.map((layer) => ({ layer, weight: 1 }))));
  return Object.assign({}, ...feeds);
}

/** B [r, N] by the parts of N. */
function columns(b: Float32Array, { outputs, parts }: LinearLayer): Float32Array[] {
  let first = 0;
  return parts.map((size) => {
    const rows = Array.from({ length: rank }, (_, r) =>
      b.subarray(r * outputs + first, r * outputs + first + size),
    );
    first += size;
    return joinFloats(rows);
  });
}

async function run(from: WeightSource, updates?: Feeds): Promise<Record<string, Float32Array>> {
  const session = await Session.compile(traceGraph(from, config, compute), device);
  const results = await runTrace(session, config, io, 'ref', 'none', updates);
  await session.release();
  return results;
}

test('a low-rank update of every linear layer gives what merging it into the weights gives', async () => {
  const slots = traceGraph(source, config, compute).linears;
  // Every weight matrix of the transformer is a linear layer that takes an update.
  const matrices = [...source.checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2);
  expect(slots.map((slot) => `${slot.name}.weight`).sort()).toEqual(matrices.map(({ name }) => name).sort());

  const adapters = slots.map(makeAdapter);
  const merged = new WeightSource(openCheckpoint(mergedFile(adapters)), fluxDialects);
  const expected = await run(merged);
  const plain = await run(source);
  for (const layout of ['shared', 'own'] as const) {
    const found = await run(source, updatesOf([adapters, layout]));
    for (const [name, value] of Object.entries(expected))
      expect(difference(found[name]!, value).relativeL2, name).toBeLessThanOrEqual(block);
    expect(difference(found.final!, plain.final!).relativeL2).toBeGreaterThan(0.1);
  }
});

test('updates of both layouts and one of a single part add up', async () => {
  const slots = traceGraph(source, config, compute).linears;
  const [fused, cut] = [slots.map(makeAdapter), slots.map((slot, i) => makeAdapter(slot, i + 7))];
  // Updates only k of q, k and v, and only k of a single block's first layer.
  const keys = slots
    .filter(({ parts }) => parts.length > 1)
    .map((slot, i) => {
      const [size] = slot.parts as [number];
      const adapter = makeAdapter(slot, i + 11);
      return {
        ...adapter,
        b: adapter.b.map((value, n) => (Math.floor((n % slot.outputs) / size) === 1 ? value : 0)),
      };
    });
  const merged = new WeightSource(openCheckpoint(mergedFile([...fused, ...cut, ...keys])), fluxDialects);
  const expected = await run(merged);
  const updates = updatesOf([fused, 'shared'], [keys, 'own'], [cut, 'own']);
  const found = await run(source, updates);
  for (const [name, value] of Object.entries(expected))
    expect(difference(found[name]!, value).relativeL2, name).toBeLessThanOrEqual(block);
});

test('a part without an update is left as it is', async () => {
  const slot = traceGraph(source, config, compute).linears.find(
    ({ name }) => name === 'single_blocks.1.linear1',
  )!;
  const layer = layerOf(makeAdapter(slot, 5), 'own');
  const nothing = { a: { rank: 0, values: new Float32Array(0) }, b: new Float32Array(0) };
  for (const kept of layer.parts.keys()) {
    const parts = layer.parts.map((part, i) => (i === kept ? part : nothing));
    const feed = layerFeed([{ layer: { ...layer, parts }, weight: 1 }]);
    // A part that is not updated keeps the idle value of its input.
    expect(feed[loraInput.b(slot.name, 0)]?.dims[0]).toEqual(kept === 0 ? rank : undefined);
    expect(feed[loraInput.a(slot.name)]!.dims[1]).toBe(rank);
    const zeros = layer.parts.map((part, i) => (i === kept ? part : { ...part, b: part.b.map(() => 0) }));
    const whole = layerFeed([{ layer: { ...layer, parts: zeros }, weight: 1 }]);
    const found = await run(source, feed);
    const expected = await run(source, whole);
    expect(difference(found.final!, expected.final!).relativeL2).toBeLessThanOrEqual(block);
  }
});

test('an update of one layer leaves the others to their empty ones', async () => {
  const slot = traceGraph(source, config, compute).linears.find(
    ({ name }) => name === 'single_blocks.1.linear2',
  )!;
  const adapter = makeAdapter(slot, 5);
  const found = await run(source, updatesOf([[adapter], 'shared']));
  const plain = await run(source);
  expect(found['single.0']).toEqual(plain['single.0']);
  expect(difference(found['single.1']!, plain['single.1']!).relativeL2).toBeGreaterThan(1e-3);
});
