/** Kept references: a transformer compiled for them, against one that computes every row in every step. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KeptReferences } from '../../src/engine/networks/kept-references.ts';
import type { Acting, Conditioning, Transformer } from '../../src/engine/networks/transformer.ts';
import { StepCaching } from '../../src/engine/pipeline/step-caching.ts';
import type { CacheName } from '../../src/engine/plan.ts';
import { conditioning, firstSample, loadTiny } from './checks/step-caches.ts';
import { difference } from './compare.ts';

/**
 * Keys and values are kept in f16: its step is 2^-11 of a value. In int8 such a change moves some activations to the next
 * of their 255 levels.
 */
const tolerance = { f32: 1e-3, int8: 3e-3 };

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-references-'));
const products = ['f32', 'int8'] as const;
const plain = {} as Record<(typeof products)[number], Transformer>;
const keeping = {} as Record<(typeof products)[number], Transformer>;

beforeAll(async () => {
  for (const precision of products) {
    const file = path.join(folder, `${precision}.safetensors`);
    plain[precision] = await loadTiny({ precision, fused: true }, 'cpu', file);
    keeping[precision] = await loadTiny({ precision, fused: true, keepsReferences: true }, 'cpu', file);
  }
});
afterAll(async () => {
  for (const transformer of [...Object.values(plain), ...Object.values(keeping)]) await transformer.release();
  fs.rmSync(folder, { recursive: true });
});

const early = { x: firstSample, time: 900 };
const late = { x: firstSample.map((value) => 0.9 * value), time: 800 };

test('kept references are the same in a network whose every block is a segment', async () => {
  const compute = { precision: 'f32', fused: true, keepsReferences: true } as const;
  const blocks = await loadTiny({ ...compute, bandRows: 8 }, 'cpu');
  const given = conditioning();
  const [whole, cut] = [new KeptReferences(2), new KeptReferences(2)];
  for (const step of [0, 1, 2]) {
    const expected = await keeping.f32.velocity(late, given, { cached: { references: whole, step } });
    expect(await blocks.velocity(late, given, { cached: { references: cut, step } })).toEqual(expected);
  }
  await blocks.release();
});

describe.each(products)('kept references in %s', (product) => {
  const velocity = (sample: typeof early, acting: Acting = {}, given: Conditioning = conditioning()) =>
    keeping[product].velocity(sample, given, acting);

  test('change no bit where none are kept, and in a step that computes them', async () => {
    const expected = await plain[product].velocity(early, conditioning());
    expect(await velocity(early)).toEqual(expected);
    const references = new KeptReferences(2);
    expect(await velocity(early, { cached: { references, step: 0 } })).toEqual(expected);
    references.release();
  });

  test('give the same velocity where nothing has changed, to the precision they are kept in', async () => {
    const given = conditioning();
    const references = new KeptReferences(4);
    const computed = await velocity(early, { cached: { references, step: 0 } }, given);
    const reused = await velocity(early, { cached: { references, step: 1 } }, given);
    expect(references).toMatchObject({ evaluations: 2, reused: 1 });
    expect(reused).not.toEqual(computed);
    expect(difference(reused, computed).relativeL2).toBeLessThan(tolerance[product]);
  });

  test('are computed again after the interval, and when the network has changed', async () => {
    const given = conditioning();
    const references = new KeptReferences(2);
    const expected = await plain[product].velocity(late, given);
    const reusedAt: boolean[] = [];
    const updates = {};
    for (const [step, acting] of [{}, {}, {}, {}, { updates }].entries()) {
      const before = references.reused;
      const found = await velocity(late, { cached: { references, step }, ...acting }, given);
      reusedAt.push(references.reused > before);
      if (!reusedAt.at(-1)) expect(found).toEqual(expected);
    }
    expect(reusedAt).toEqual([false, true, false, true, false]);
  });

  test.each(['tea', 'first-block', 'dual-block'] satisfies CacheName[])(
    'go together with %s',
    async (name) => {
      const given = conditioning();
      const references = new KeptReferences(3);
      const plan = { name, threshold: 1e9, from: 2, to: 9, maxConsecutive: 2 };
      const caching = new StepCaching(plan, 10, await keeping[product].cacheSessions());
      const found: Float32Array[] = [];
      for (let step = 0; step < 10; step++) {
        const evaluate = () =>
          caching.evaluate(given, (cached) => velocity(early, { cached: { ...cached, references } }, given));
        found.push(await evaluate());
        caching.endStep();
      }
      // Steps 2 and 3, 5 and 6, and 8 take the residual; of the others 0, 4 and 7 compute the references.
      expect(caching.reused).toBe(5);
      expect(references).toMatchObject({ evaluations: 5, reused: 2 });
      for (const each of found)
        expect(difference(each, found[0]!).relativeL2).toBeLessThan(tolerance[product]);
      caching.release();
      references.release();
    },
  );
});
