import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GuidedTransformer } from './checks/ip-adapter.ts';
import { difference } from './compare.ts';
import { block } from './tolerance.ts';

let transformer: GuidedTransformer;
beforeAll(async () => {
  transformer = await GuidedTransformer.load({ device: 'cpu', fused: true });
});
afterAll(() => transformer.release());

function expectVelocity(found: Float32Array, name: string): void {
  expect(transformer.compare(name, found, block)).toMatchObject({ pass: true });
}

describe('the velocity under an IP-Adapter is the reference’s', () => {
  test('without one', async () => expectVelocity(await transformer.velocity([]), 'plain'));

  test('of XLabs, with and without a reference picture', async () => {
    const one = await transformer.layersOf('xlabs', transformer.pictures.clip.slice(0, 1), 0.8);
    expectVelocity(await transformer.velocity([one]), 'xlabs');
    expectVelocity(await transformer.velocity([one], false), 'xlabs.t2i');
  });

  test('of XLabs, two with different tokens, guide pictures and signs', async () => {
    const { clip } = transformer.pictures;
    const both = [
      await transformer.layersOf('xlabs', clip, 0.7),
      await transformer.layersOf('xlabs6', clip.slice(0, 1), -0.4),
    ];
    expectVelocity(await transformer.velocity(both), 'xlabs.two');
  });

  test('of InstantX, in double and single blocks', async () => {
    const one = await transformer.layersOf('instantx', transformer.pictures.siglip, 0.6);
    expectVelocity(await transformer.velocity([one]), 'instantx');
  });

  test('and each of the velocities differs from the others', () => {
    const names = ['plain', 'xlabs', 'xlabs.two', 'instantx'];
    const { expected } = transformer;
    for (const a of names)
      for (const b of names.filter((name) => name < a))
        expect(difference(expected.floats(a), expected.floats(b)).relativeL2).toBeGreaterThan(0.03);
  });
});

test('after a guided evaluation one without guides is the same to the bit as before it', async () => {
  const before = await transformer.velocity([]);
  await transformer.velocity([await transformer.layersOf('xlabs', transformer.pictures.clip, 1)]);
  expect(await transformer.velocity([])).toEqual(before);
});
