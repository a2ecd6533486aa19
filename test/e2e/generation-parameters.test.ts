/** Each parameter of generation has its documented effect on the embedded model's picture. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseTasks } from '../../src/api/parse.ts';
import type { ImageInferenceTask } from '../../src/api/tasks/image-inference.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import { type Model, ModelStore } from '../../src/store/models.ts';
import { makePlans } from '../../src/tasks/plan/plan.ts';

// On a busy machine seconds become minutes.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 60_000 });

const steps = 8;
let engine: Engine;
let models: ModelStore;
let model: Model;
let picture: Uint8Array;

beforeAll(async () => {
  engine = await createEngine({ threads: 1, memoryLimit: 8 * 2 ** 30, log: () => {} });
  models = await ModelStore.scan({ models: 'none', cache: 'none' });
  model = models.find('retouch:mini@1')!;
  picture = await readFile(fileURLToPath(new URL('../../examples/scene-car.png', import.meta.url)));
});
afterAll(() => engine.release());

/** Through the API, like a client. */
function planOf(fields: Record<string, unknown>): Plan {
  const task = {
    taskType: 'imageInference',
    taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
    model: model.air,
    positivePrompt: 'make the background pink',
    seed: 1,
    steps,
    width: 1024,
    height: 1024,
    outputFormat: 'PNG',
    ...fields,
  };
  const body = new TextEncoder().encode(JSON.stringify([task]));
  const context = {
    maxTasks: 1,
    explainMissingModel: () => undefined,
    explainAdapter: models.explainAdapter.bind(models),
  };
  const [parsed] = parseTasks(body, context);
  if (!parsed || !('task' in parsed)) throw new Error(JSON.stringify(parsed));
  const references = [{ bytes: picture, width: 512, height: 512 }];
  const arithmetic = { device: 'cpu', precision: 'f32', referenceIds: 'offset' } as const;
  const inputs = { references, guides: [] };
  return makePlans(parsed.task as ImageInferenceTask, inputs, { models, arithmetic })[0]!.plan;
}

type Run = { pixels: Uint8Array; events: EngineEvent[]; reused: number[] };
const known = new Map<string, Promise<Run>>();

/** The same request is computed once. */
function run(fields: Record<string, unknown> = {}): Promise<Run> {
  const key = JSON.stringify(fields);
  const running = known.get(key) ?? compute(planOf(fields));
  known.set(key, running);
  return running;
}

let turn: Promise<unknown> = Promise.resolve();

async function compute(plan: Plan): Promise<Run> {
  const before = turn;
  const { promise, resolve } = Promise.withResolvers<void>();
  turn = promise;
  await before;
  const events: EngineEvent[] = [];
  for await (const event of engine.run(plan, new AbortController().signal)) events.push(event);
  resolve();
  const image = events.find((event) => event.type === 'image')!.image;
  const reused = events.flatMap((event) => (event.type === 'step-end' ? [event.reused ?? 0] : []));
  return { pixels: (await decodeImage(image.bytes)).data, events, reused };
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

/** Three million bytes: a matcher would take half a minute over them. */
function isSame(a: Run, b: Run): boolean {
  return Buffer.compare(a.pixels, b.pixels) === 0;
}

/** Root of the mean squared difference, in levels of 255. */
function distance(a: Run, b: Run): number {
  const squares = a.pixels.reduce((total, value, i) => total + (value - b.pixels[i]!) ** 2, 0);
  return Math.sqrt(squares / a.pixels.length);
}

const cached = (acceleratorOptions: Record<string, unknown>, fields = {}) =>
  run({ acceleratorOptions, ...fields });

describe('acceleratorOptions', () => {
  it('fbCacheThreshold 1 reuses nothing, and the picture is the one without a cache', async () => {
    const never = await cached({ fbCache: true, fbCacheThreshold: 1 });
    expect(sum(never.reused)).toBe(0);
    expect(isSame(never, await run())).toBe(true);
  });

  it.each([
    // In 8 steps the input changes too much from one to the next for TeaCache's polynomial.
    ['teaCache', 'teaCacheDistance', 0.2, 0.5, { steps: 20 }],
    ['fbCache', 'fbCacheThreshold', 0.64, 0, {}],
    ['dbCache', 'dbCacheThreshold', 0.7, 0, {}],
  ])(
    '%s reuses the more, and is the less like the picture without it',
    async (cache, amount, some, more, fields) => {
      const options = { [cache]: true, cacheStartStep: 0 };
      const plain = await run(fields);
      const few = await cached({ ...options, [amount]: some }, fields);
      const many = await cached({ ...options, [amount]: more }, fields);
      expect(sum(few.reused)).toBeGreaterThan(0);
      expect(sum(many.reused)).toBeGreaterThan(sum(few.reused));
      expect(distance(few, plain)).toBeGreaterThan(0);
      expect(distance(many, plain)).toBeGreaterThan(distance(few, plain));
    },
  );

  it('a window and a limit show in the steps', async () => {
    const { reused } = await cached({
      fbCache: true,
      fbCacheThreshold: 0,
      cacheStartStep: 2,
      cacheEndStepPercentage: 75,
      cacheMaxConsecutiveSteps: 2,
    });
    expect(reused).toEqual([0, 0, 1, 1, 0, 1, 0, 0]);
  });

  it('the last event of the steps counts what was reused', async () => {
    const { events, reused } = await cached({ fbCache: true, fbCacheThreshold: 0 });
    const [summary] = events.filter((event) => event.type === 'cache-end');
    expect(summary).toMatchObject({ cache: 'first-block', evaluations: steps, reused: sum(reused) });
    expect(summary!.savedMilliseconds).toBeGreaterThanOrEqual(0);
    expect((await run()).events.some((event) => event.type === 'cache-end')).toBe(false);
  });

  it('both passes of true CFG have a cache, and both evaluations of a step ask it', async () => {
    const options = { fbCache: true, fbCacheThreshold: 0 };
    const guided = await cached(options, { trueCFGScale: 3, negativePrompt: 'green' });
    expect(guided.events.find((event) => event.type === 'cache-end')).toMatchObject({
      evaluations: 2 * steps,
    });
    // Each pass decides for itself: test/golden/step-caches.test.ts has where they differ.
    expect(Math.max(...guided.reused)).toBe(2);
    const heun = await cached(options, { scheduler: 'Heun' });
    expect(heun.events.find((event) => event.type === 'cache-end')).toMatchObject({
      evaluations: 2 * steps - 1,
    });
    expect(heun.reused.slice(0, 5)).toEqual([0, 2, 2, 2, 0]);
  });

  it('a result is the same whatever was made before it', async () => {
    const options = { acceleratorOptions: { fbCache: true, fbCacheThreshold: 0 } };
    const first = await run(options);
    await run({ ...options, seed: 2 });
    const again = await compute(planOf(options));
    expect(isSame(again, first)).toBe(true);
  });
});

describe('CFGScale and trueCFGScale', () => {
  it('trueCFGScale up to 1 runs no second pass, whatever is not wanted', async () => {
    const plain = await run();
    expect(isSame(await run({ trueCFGScale: 1, negativePrompt: 'green' }), plain)).toBe(true);
  });

  it('trueCFGScale leads away from the negative prompt: from the prompt itself, nowhere', async () => {
    const plain = await run();
    const same = await run({ trueCFGScale: 4, negativePrompt: 'make the background pink' });
    expect(isSame(same, plain)).toBe(true);
  });

  it('the more so the higher it is', async () => {
    const plain = await run();
    const guided = await Promise.all(
      [1.5, 4].map((trueCFGScale) => run({ trueCFGScale, negativePrompt: 'make the background green' })),
    );
    expect(distance(guided[0]!, plain)).toBeGreaterThan(0);
    expect(distance(guided[1]!, plain)).toBeGreaterThan(distance(guided[0]!, plain));
  });

  it('CFGScale changes the picture through its embedding alone, in one pass a step', async () => {
    expect(distance(await run(), await run({ CFGScale: 6 }))).toBeGreaterThan(0);
    expect(planOf({ CFGScale: 6 })).toMatchObject({ guidance: 6, trueCfg: 1 });
  });

  it('CFGScale up to 1 makes the negative prompt count for nothing', () => {
    const fields = { trueCFGScale: 4, negativePrompt: 'green' };
    expect(planOf({ ...fields, CFGScale: 1 }).negativePrompt).toBe('');
    expect(planOf({ ...fields, CFGScale: 0 }).negativePrompt).toBe('');
    expect(planOf({ ...fields, CFGScale: 1.01 }).negativePrompt).toBe('green');
  });
});

describe('scheduler', () => {
  it('names that mean the same draw the same picture, and others another', async () => {
    const plain = await run();
    expect(isSame(await run({ scheduler: 'DDIM' }), plain)).toBe(true);
    expect(isSame(await run({ scheduler: 'Euler Karras' }), plain)).toBe(false);
  });

  it('where noise is drawn the same seed draws the same', async () => {
    const fields = { scheduler: 'DPM++ 2M SDE' };
    const first = await run(fields);
    expect(isSame(await compute(planOf(fields)), first)).toBe(true);
    expect(isSame(first, await run())).toBe(false);
  });
});
