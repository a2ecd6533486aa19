/**
 * Adapters made by PEFT (test/data/reference/lora.py) and LyCORIS (dora.py), run unmerged, against the weights that those
 * libraries merge them into.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ActiveLoras, type LoraUse } from '../../src/engine/adapters/lora/active.ts';
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

/** W + Σ weight·(W' − W), with the weights W' that the library merged each file into. */
async function mergedVelocity(weights: Readonly<Record<string, number>>): Promise<Float32Array> {
  const base = openCheckpoint(tinyFile('flux_tiny.diffusers.safetensors'));
  const stored = [...base.tensors].map(
    ([tensor, entry]) => [tensor, readFloats(entry), entry.shape] as const,
  );
  for (const [name, weight] of Object.entries(weights)) {
    const { tensors } = openCheckpoint(adapter(`${name}.merged.safetensors`));
    for (const [tensor, values] of stored) {
      const own = base.tensors.get(tensor)!;
      const changed = tensors.get(tensor);
      if (!changed) continue;
      const [to, from] = [readFloats(changed), readFloats(own)];
      for (let i = 0; i < values.length; i++) values[i]! += weight * (to[i]! - from[i]!);
    }
  }
  const file = path.join(folder, `${Object.keys(weights).join('-')}.safetensors`);
  writeSafetensors(
    file,
    Object.fromEntries(stored.map(([tensor, values, shape]) => [tensor, f32([...values], shape)])),
    { ...base.metadata },
  );
  const transformer = await loadFlux(file);
  const velocity = await velocityOf(transformer);
  await transformer.release();
  return velocity;
}

describe('an adapter of PEFT or LyCORIS', () => {
  it.each([
    [
      'rslora',
      'rslora',
      'with ranks and alphas of single layers, rank-stabilised, as a folder with its configuration',
    ],
    ['metadata', 'metadata.safetensors', "with alpha in diffusers' metadata"],
    ['dora', 'dora.safetensors', 'with magnitudes (DoRA)'],
    [
      'dora_inputs',
      'dora_inputs.safetensors',
      'with magnitudes of inputs, one set for each piece of a layer',
    ],
    ['dora_inputs_fused', 'dora_inputs_fused.safetensors', 'with magnitudes of inputs of fused layers'],
    ['dora_mixed', 'dora_mixed.safetensors', 'with magnitudes of outputs and of inputs in one layer'],
    ['doha_inputs', 'doha_inputs.safetensors', 'of Hadamard products with magnitudes of inputs'],
    ['loha', 'loha.safetensors', 'of Hadamard products (LoHa)'],
    ['lokr', 'lokr.safetensors', 'of Kronecker products of products (LoKr)'],
    ['lokr_whole', 'lokr_whole.safetensors', 'of Kronecker products of whole factors (LoKr)'],
  ])('%s (%s, %s) acts as merged', async (name, file) => {
    const prepared = await prepareFile(adapter(file), layers, components);
    const active = new ActiveLoras([{ file, weight: 1, stage: 'low', prepared }]);
    const expected = await mergedVelocity({ [name]: 1 });
    const forms = active.forms('transformer');
    const transformer = await loadFlux(undefined, { forms });
    const plain = await velocityOf(transformer, active.transformer(0.9));
    const found = await velocityOf(transformer, active.transformer(0.5));
    await transformer.release();
    expect(difference(found, expected).relativeL2).toBeLessThanOrEqual(block);
    expect(difference(expected, plain).relativeL2).toBeGreaterThan(0.015);

    // Where the LoRA does not act, the additional inputs of the compiled layers change nothing.
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

  it('with magnitudes acts by its weight, and beside others that cut the layers elsewhere', async () => {
    const weights = { dora_inputs: 0.6, dora_inputs_fused: -0.4, dora_mixed: 0.5, dora: 0.3 };
    const uses: LoraUse[] = [];
    for (const [name, weight] of Object.entries(weights)) {
      const file = adapter(`${name}.safetensors`);
      uses.push({ file, weight, stage: 'both', prepared: await prepareFile(file, layers, components) });
    }
    const active = new ActiveLoras(uses);
    const transformer = await loadFlux(undefined, { forms: active.forms('transformer') });
    const found = await velocityOf(transformer, active.transformer(0.5));
    await transformer.release();
    expect(difference(found, await mergedVelocity(weights)).relativeL2).toBeLessThanOrEqual(block);
  });

  it.each([
    ['f16', 1e-3],
    ['int8-blocks', int8],
    ['int4', 0.1],
  ] as const)('with magnitudes of inputs is right where weights are %s', async (precision, tolerance) => {
    const file = adapter('dora_inputs.safetensors');
    const prepared = await prepareFile(file, layers, components);
    const active = new ActiveLoras([{ file, weight: 1, stage: 'both', prepared }]);
    const transformer = await loadFlux(
      undefined,
      { precision, forms: active.forms('transformer') },
      path.join(folder, `${precision}.safetensors`),
    );
    const found = await velocityOf(transformer, active.transformer(0.5));
    await transformer.release();
    expect(difference(found, await mergedVelocity({ dora_inputs: 1 })).relativeL2).toBeLessThanOrEqual(
      tolerance,
    );
  });
});
