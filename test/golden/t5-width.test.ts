import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WeightSource } from '../../src/engine/weights/source.ts';
import { largestInner, runWideT5, writeWideT5 } from '../fixtures/wide-t5.ts';
import { difference } from './compare.ts';
import { block } from './tolerance.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-t5-')));
let source: WeightSource;
beforeAll(() => {
  source = writeWideT5(folder);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

it("a layer of T5-XXL's width holds numbers beyond f16 between its products, and f16 weights give what f32 ones give", async () => {
  expect(await largestInner(source)).toBeGreaterThan(65_504);
  const expected = await runWideT5(source, { precision: 'f32', fused: true }, 'cpu');
  const found = await runWideT5(source, { precision: 'f16', fused: true }, 'cpu');
  const { relativeL2 } = difference(found, expected);
  if (process.env.TEST_VERBOSE) console.info('T5-XXL width, f16 weights', relativeL2);
  expect(relativeL2).toBeLessThanOrEqual(block);
});
