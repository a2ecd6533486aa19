/** The whole engine against diffusers' FluxKontextPipeline: test/data/reference/pipeline.py made model and pictures. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import {
  type EncodedImage,
  type ModelSource,
  type Plan,
  type PrecisionName,
  plainNumerics,
  plainPlan,
} from '../../src/engine/plan.ts';
import { printPsnr, psnr } from './compare.ts';
import { writeAllInOne, writeSplit, writeUnsharded } from './layouts.ts';
import { blockPicture, int8Picture, picture } from './tolerance.ts';

type Case = Pick<
  Plan,
  'prompt' | 'negativePrompt' | 'width' | 'height' | 'steps' | 'guidance' | 'trueCfg'
> & {
  reference: string | null;
  seed: string;
};

const data = path.join(import.meta.dirname, '../data/pipeline');
const cases: Record<string, Case> = JSON.parse(fs.readFileSync(path.join(data, 'cases.json'), 'utf8'));
const read = (name: string) => fs.readFileSync(path.join(data, `${name}.png`));

const engine = createEngine({ threads: 2, memoryLimit: 8 * 2 ** 30, log: () => {} });
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-pipeline-'));
const layouts: Record<string, ModelSource['files']> = {
  sharded: { layout: 'diffusers', folder: path.join(data, 'model') },
  unsharded: { layout: 'diffusers', folder: path.join(folder, 'model') },
};

beforeAll(async () => {
  writeUnsharded(path.join(data, 'model'), path.join(folder, 'model'));
  layouts.split = await writeSplit(path.join(data, 'model'), folder);
  layouts['all in one'] = await writeAllInOne(path.join(data, 'model'), folder);
});

afterAll(async () => {
  await engine.release();
  fs.rmSync(folder, { recursive: true });
});

async function run(name: string, layout: string, precision: PrecisionName = 'f32'): Promise<EncodedImage> {
  const { reference, seed, ...given } = cases[name]!;
  const plan: Plan = {
    ...plainPlan,
    ...given,
    model: { air: 'test:pipeline@1', files: layouts[layout]!, cacheFolder: path.join(folder, 'cache') },
    seed: BigInt(seed),
    references: reference === null ? [] : [read(reference)],
    numerics: { ...plainNumerics, precision },
    output: { format: 'png', quality: 100 },
  };
  for await (const event of engine.run(plan, new AbortController().signal))
    if (event.type === 'image') return event.image;
  throw new Error('the run ended without a picture');
}

async function compare(found: Uint8Array, expected: Uint8Array): Promise<number> {
  const [a, b] = [await decodeImage(found), await decodeImage(expected)];
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  const ratio = psnr(a.data, b.data);
  printPsnr(expect.getState().currentTestName!, ratio);
  return ratio;
}

describe('a picture is the one that diffusers makes of the same checkpoint', () => {
  test.each(Object.keys(cases))('%s', { timeout: 120_000 }, async (name) => {
    const { bytes } = await run(name, 'sharded');
    expect(await compare(bytes, read(name))).toBeGreaterThanOrEqual(picture);
  });
});

test('the expected pictures differ, so that no case passes in the place of another', async () => {
  expect(await compare(read('edit'), read('opposed'))).toBeLessThan(30);
});

describe('the layout of a checkpoint leaves no trace', () => {
  test.each(['unsharded', 'split', 'all in one'])('%s', { timeout: 120_000 }, async (layout) => {
    const expected = await run('text', 'sharded');
    expect((await run('text', layout)).bytes).toEqual(expected.bytes);
    const { bytes } = await run('edit', layout);
    expect(await compare(bytes, read('edit'))).toBeGreaterThanOrEqual(picture);
  });
});

test.each(['text', 'edit'])('%s in int8 stays near f32', { timeout: 120_000 }, async (name) => {
  const { bytes } = await run(name, 'sharded', 'int8');
  expect(await compare(bytes, read(name))).toBeGreaterThanOrEqual(int8Picture);
});

test.each(['int8-blocks', 'int4'] as const)(
  'a picture in %s stays near f32',
  { timeout: 120_000 },
  async (precision) => {
    for (const name of ['text', 'edit']) {
      const { bytes } = await run(name, 'sharded', precision);
      expect(await compare(bytes, read(name))).toBeGreaterThanOrEqual(blockPicture[precision]);
    }
  },
);
