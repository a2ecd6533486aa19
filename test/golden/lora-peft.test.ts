/** Adapters made by PEFT (test/data/reference/lora.py), run unmerged, against the weights PEFT merges them into. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { readFloats } from '../../src/engine/weights/floats.ts';
import { loadFlux, prepareFile, tinyComponents, tinyFile, velocityOf } from '../fixtures/tiny-flux.ts';
import { f32, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { difference } from './compare.ts';
import { block, int8 } from './tolerance.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-peft-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const components = tinyComponents();
const layers = layersOf(components);
const adapter = (name: string) => path.join(import.meta.dirname, '../data/lora', name);

async function mergedVelocity(name: string): Promise<Float32Array> {
  const base = openCheckpoint(tinyFile('flux_tiny.diffusers.safetensors'));
  const all = new Map([...base.tensors, ...openCheckpoint(adapter(`${name}.merged.safetensors`)).tensors]);
  const stored = [...all].map(
    ([tensor, entry]) => [tensor, f32([...readFloats(entry)], entry.shape)] as const,
  );
  const file = path.join(folder, `${name}.safetensors`);
  writeSafetensors(file, Object.fromEntries(stored), { ...base.metadata });
  const transformer = await loadFlux(file);
  const velocity = await velocityOf(transformer);
  await transformer.release();
  return velocity;
}

describe('an adapter of PEFT', () => {
  it.each([
    [
      'rslora',
      'rslora',
      'with ranks and alphas of single layers, rank-stabilised, as a folder with its configuration',
    ],
    ['metadata', 'metadata.safetensors', "with alpha in diffusers' metadata"],
    ['dora', 'dora.safetensors', 'with magnitudes (DoRA)'],
    ['loha', 'loha.safetensors', 'of Hadamard products (LoHa)'],
    ['lokr', 'lokr.safetensors', 'of Kronecker products of products (LoKr)'],
    ['lokr_whole', 'lokr_whole.safetensors', 'of Kronecker products of whole factors (LoKr)'],
  ])('%s (%s, %s) acts as merged', async (name, file) => {
    const prepared = await prepareFile(adapter(file), layers, components);
    const active = new ActiveLoras([{ file, weight: 1, stage: 'low', prepared }]);
    const expected = await mergedVelocity(name);
    const forms = active.forms('transformer');
    const transformer = await loadFlux(undefined, { forms });
    const plain = await velocityOf(transformer, active.transformer(0.9));
    const found = await velocityOf(transformer, active.transformer(0.5));
    await transformer.release();
    expect(difference(found, expected).relativeL2).toBeLessThanOrEqual(block);
    expect(difference(expected, plain).relativeL2).toBeGreaterThan(0.015);

    // Where it does not act, what the layers are compiled for beyond a product changes nothing.
    const without = await loadFlux();
    expect(difference(plain, await velocityOf(without)).relativeL2).toBeLessThanOrEqual(1e-6);
    await without.release();

    const integers = await loadFlux(
      undefined,
      { precision: 'int8', forms },
      path.join(folder, 'int8.safetensors'),
    );
    const rounded = await velocityOf(integers, active.transformer(0.5));
    await integers.release();
    // The update itself is not rounded to eight bits, so it is no further from the reference than the model without it.
    expect(difference(rounded, expected).relativeL2).toBeLessThanOrEqual(int8);
  });
});
