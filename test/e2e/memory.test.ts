import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { decoderBytes } from '../../src/engine/models/autoencoder-memory.ts';
import { imageDecoder } from '../../src/engine/networks/autoencoder.ts';
import { openModelFiles } from '../../src/engine/networks/opened-model.ts';
import { transformer } from '../../src/engine/networks/transformer.ts';
import { createEngine, processBytes } from '../../src/engine/pipeline/kontext.ts';
import type { Plan } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';
import { pipelinePlan, scriptedPlan } from '../fixtures/plans.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const folder = fileURLToPath(new URL('../../model', import.meta.url));
const networks = ['T5', 'CLIP', 'image encoder', 'image decoder', 'transformer'];
let plan: Plan;
/** Another picture and sentence, so that nothing of the first can be used again. */
let other: Plan;

beforeAll(async () => {
  plan = scriptedPlan('make it green', {
    model: { air: 'retouch:mini@1', files: { layout: 'diffusers', folder }, cacheFolder: folder },
    references: [await drawScene(64, 64)],
    width: 512,
    height: 512,
    steps: 1,
  });
  other = {
    ...plan,
    prompt: 'make it red',
    references: [await drawScene(64, 64, { background: [200, 40, 40] })],
  };
});

function open(memoryLimit: number): Engine | Promise<Engine> {
  return createEngine({ threads: 2, memoryLimit, log: () => {} });
}

async function run(engine: Engine, plan: Plan): Promise<{ bytes: Uint8Array; loaded: string[] }> {
  const loaded: string[] = [];
  let bytes = new Uint8Array();
  for await (const event of engine.run(plan, new AbortController().signal)) {
    if (event.type === 'stage-progress' && event.fraction === 0 && event.message.startsWith('loading '))
      loaded.push(event.message.slice('loading '.length));
    if (event.type === 'image') bytes = Uint8Array.from(event.image.bytes);
  }
  return { bytes, loaded };
}

/** The smallest limit at which the plan runs, from the errors below it. */
async function smallestLimit(): Promise<number> {
  for (let limit = 1; ; ) {
    const engine = await open(limit);
    try {
      await run(engine, plan);
      return limit;
    } catch (error) {
      if (!(error instanceof RetouchError) || error.code !== 'notEnoughMemory') throw error;
      limit = Number(error.details.needed);
    } finally {
      await engine.release();
    }
  }
}

it('an engine without room for all networks at a time loads some anew, and draws the same as one with room for all', async () => {
  const roomy = await open(2 ** 40);
  const first = await run(roomy, plan);
  const second = await run(roomy, other);
  await roomy.release();
  expect(first.loaded.toSorted()).toEqual(networks.toSorted());
  expect(second.loaded).toEqual([]);

  const tight = await open(await smallestLimit());
  const third = await run(tight, plan);
  const fourth = await run(tight, other);
  await tight.release();
  expect(third.loaded.toSorted()).toEqual(networks.toSorted());
  expect(fourth.loaded.length).toBeGreaterThan(0);
  expect(Buffer.compare(third.bytes, first.bytes)).toBe(0);
  expect(Buffer.compare(fourth.bytes, second.bytes)).toBe(0);
});

it('an engine that was released loads again', async () => {
  const engine = await open(2 ** 40);
  const { bytes } = await run(engine, plan);
  await engine.release();
  const again = await run(engine, plan);
  await engine.release();
  expect(again.loaded.toSorted()).toEqual(networks.toSorted());
  expect(Buffer.compare(again.bytes, bytes)).toBe(0);
});

it('a large image is decoded in bands, which take less memory than the whole and fit beside the transformer', async () => {
  const random = pipelinePlan(folder, { width: 768, height: 768, steps: 1 });
  const opened = await openModelFiles(random.model, random.numerics, { threads: 2, memoryLimit: 2 ** 40 });
  const plain = { imagePromptTokens: 0, cachedPasses: 0, places: [], forms: new Map(), updateBytes: 0 };
  const use = { ...plain, keptReferences: 0, keepsReferences: false, tokens: 0 };
  const { key, need } = imageDecoder(opened, random, 'full');
  expect(key).toMatch(/^image decoder in bands /);
  expect(need.working).toBeLessThan(decoderBytes(opened.components.autoencoder.config, random));
  const limit = processBytes + transformer(opened, use).need.bytes + need.working;

  const draw = async (memoryLimit: number) => {
    const engine = await open(memoryLimit);
    const { bytes, loaded } = await run(engine, random);
    await engine.release();
    return { loaded, pixels: (await decodeImage(bytes)).data };
  };
  const roomy = await draw(2 ** 40);
  const tight = await draw(limit);
  for (const { loaded } of [roomy, tight]) expect(loaded).not.toContain('image decoder');
  expect(Buffer.compare(tight.pixels, roomy.pixels)).toBe(0);
});
