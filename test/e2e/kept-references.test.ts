/** Kept references of a whole edit with the embedded model. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import { type EngineEvent, type Plan, plainNumerics, plainPlan } from '../../src/engine/plan.ts';
import { ModelStore } from '../../src/store/models.ts';
import { psnr } from '../golden/compare.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

let engine: Engine;
let plan: Plan;

beforeAll(async () => {
  const store = await ModelStore.scan({ models: `${root}/none`, cache: `${root}/none` });
  engine = await createEngine({ threads: 2, memoryLimit: 4 * 2 ** 30, log: () => {} });
  plan = {
    ...plainPlan,
    ...{ model: store.find('retouch:mini@1')!.source, prompt: 'turn the red car blue' },
    references: [await readFile(`${root}/examples/scene-car.png`)],
    ...{ width: 512, height: 512, seed: 1n, steps: 4, guidance: 2.5, numerics: plainNumerics },
    output: { format: 'png', quality: 95 },
  };
});

afterAll(() => engine.release());

async function run(changes: Partial<Plan>) {
  let [image, references]: [Uint8Array?, (EngineEvent & { type: 'references-end' })?] = [];
  for await (const event of engine.run({ ...plan, ...changes }, new AbortController().signal)) {
    if (event.type === 'image') image = event.image.bytes;
    if (event.type === 'references-end') references = event;
  }
  return { pixels: (await decodeImage(image!)).data, references };
}

it('gives nearly the picture without them, in far fewer rows, and leaves no trace on the next image', async () => {
  const plain = await run({});
  const kept = await run({ referenceInterval: 2 });
  expect(kept.references).toMatchObject({ evaluations: 4, reused: 2 });
  expect(psnr(kept.pixels, plain.pixels)).toBeGreaterThan(45);
  expect(kept.pixels).not.toEqual(plain.pixels);
  const again = await run({});
  expect(again.pixels).toEqual(plain.pixels);
  expect(again.references).toBeUndefined();
});

it('keeps those of both passes of a negative prompt, and nothing without references', async () => {
  const both = await run({ referenceInterval: 8, trueCfg: 2, negativePrompt: 'rain' });
  expect(both.references).toMatchObject({ evaluations: 8, reused: 6 });
  expect((await run({ referenceInterval: 8, references: [] })).references).toBeUndefined();
});

it('is refused where it does not fit, whatever the size of the image', async () => {
  const small = await createEngine({ threads: 1, memoryLimit: 420 * 2 ** 20, log: () => {} });
  const running = (async () => {
    for await (const _ of small.run(
      { ...plan, references: Array(4).fill(plan.references[0]!), referenceInterval: 4 },
      new AbortController().signal,
    ));
  })();
  await expect(running).rejects.toMatchObject({ code: 'notEnoughMemory' });
  await small.release();
});
