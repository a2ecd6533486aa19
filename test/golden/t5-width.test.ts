import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WeightSource } from '../../src/engine/weights/source.ts';
import { largestInner, runWideT5, wideTolerances, writeWideT5 } from '../fixtures/wide-t5.ts';
import { difference, printRelativeL2 } from './compare.ts';
import { block } from './tolerance.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-t5-')));
let source: WeightSource;
let expected: Float32Array;
beforeAll(async () => {
  source = writeWideT5(folder);
  expected = await runWideT5(source, { precision: 'f32', fused: true }, 'cpu');
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true }));

it("a layer of T5-XXL's width holds numbers beyond f16 between its products", async () => {
  expect(await largestInner(source)).toBeGreaterThan(65_504);
});

// The stored weights are f16, so that keeping them changes nothing but the kernels.
it.each([
  ['f16', block],
  ['int8', wideTolerances.int8],
  ['int8-blocks', wideTolerances['int8-blocks']],
  ['int4', wideTolerances.int4],
] as const)('such numbers stay within the tolerance of %s', async (precision, tolerance) => {
  const found = await runWideT5(source, { precision, fused: true }, 'cpu');
  const { relativeL2 } = difference(found, expected);
  printRelativeL2(`T5-XXL width, ${precision}`, relativeL2);
  expect(relativeL2).toBeLessThanOrEqual(tolerance);
});
