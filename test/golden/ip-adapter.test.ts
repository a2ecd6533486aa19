/** IP-Adapters against diffusers' transformer: test/data/reference/ip_adapter.py made adapters and velocities. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Guidance, joinGuidance } from '../../src/engine/adapters/ip-adapter/image-prompt.ts';
import { openIpAdapter } from '../../src/engine/adapters/ip-adapter/index.ts';
import { embedScalings } from '../../src/engine/adapters/ip-adapter/scaling.ts';
import { IpAdapter } from '../../src/engine/ip-adapter.ts';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { f32Tensor } from '../../src/engine/onnx/session.ts';
import { type Conditioning, Transformer } from '../../src/engine/transformer.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import { joinFloats } from '../../src/engine/weights/floats.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { Tensors } from './checks/check.ts';
import { finish } from './checks/flux.ts';
import { difference } from './compare.ts';
import { goldenFile, openGolden } from './data.ts';
import { block } from './tolerance.ts';

const file = (name: string) => path.join(import.meta.dirname, '../data/ip-adapter', `${name}.safetensors`);
const device = { device: 'cpu', threads: 1 } as const;
const compute = { product: 'f32', fused: true } as const;

const io = openGolden('flux_tiny_io.safetensors');
const expected = new Tensors(file('adapters_io'));
const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
const config = fluxConfig(source);
const guides = expected.floats('clip');
const pictures = [0, 1, 2].map((i) => guides.subarray(24 * i, 24 * (i + 1)));
const seen = expected.floats('siglip');

let transformer: Transformer;
beforeAll(async () => {
  transformer = await finish(Transformer.load({ source, config }, compute, device, ''));
});
afterAll(() => transformer.release());

function velocity(guidance: readonly Guidance[], references = true): Promise<Float32Array> {
  const ids = [io.floats('txt_ids'), io.floats('img_ids'), ...(references ? [io.floats('ref_ids')] : [])];
  const context = io.floats('txt');
  const given: Conditioning = {
    context: f32Tensor(context, [context.length / config.contextIn, config.contextIn]),
    pooled: f32Tensor(io.floats('vec'), [1, config.vecIn]),
    references: references ? io.floats('ref_img') : new Float32Array(0),
    ids: joinFloats(ids),
    guidance: 1000 * io.floats('ref.guidance')[0]!,
    imagePrompt: joinGuidance(guidance, config),
  };
  return transformer.velocity(io.floats('img'), 1000 * io.floats('ref.t')[0]!, given);
}

async function guidance(name: string, features: Float32Array[], weight: number): Promise<Guidance> {
  const adapter = openIpAdapter(file(name), { ...config, features: features[0]!.length });
  const network = await finish(IpAdapter.load(adapter, config.hidden / config.heads, compute, device));
  const layers = await network.project(features);
  await network.release();
  return { place: adapter.format.place, layers: layers.map((layer) => embedScalings.only_v(layer, weight)) };
}

function expectVelocity(found: Float32Array, name: string): void {
  const { relativeL2 } = difference(found, expected.floats(name));
  if (process.env.TEST_VERBOSE) console.info(`${name}: ${relativeL2}`);
  expect(relativeL2, name).toBeLessThanOrEqual(block);
}

describe('the velocity under an IP-Adapter is the reference’s', () => {
  test('without one', async () => expectVelocity(await velocity([]), 'plain'));

  test('of XLabs, with and without a reference picture', async () => {
    const one = await guidance('xlabs', [pictures[0]!], 0.8);
    expectVelocity(await velocity([one]), 'xlabs');
    expectVelocity(await velocity([one], false), 'xlabs.t2i');
  });

  test('of XLabs, two with different tokens, guide pictures and signs', async () => {
    const both = [await guidance('xlabs', pictures, 0.7), await guidance('xlabs6', [pictures[0]!], -0.4)];
    expectVelocity(await velocity(both), 'xlabs.two');
  });

  test('of InstantX, in double and single blocks', async () => {
    expectVelocity(await velocity([await guidance('instantx', [seen], 0.6)]), 'instantx');
  });

  test('and each of the pictures differs from the others', () => {
    const names = ['plain', 'xlabs', 'xlabs.two', 'instantx'];
    for (const a of names)
      for (const b of names.filter((name) => name < a))
        expect(difference(expected.floats(a), expected.floats(b)).relativeL2).toBeGreaterThan(0.03);
  });
});

test('after a guided evaluation one without guides is the same to the bit as before it', async () => {
  const before = await velocity([]);
  await velocity([await guidance('xlabs', [pictures[0]!], 1)]);
  expect(await velocity([])).toEqual(before);
});
