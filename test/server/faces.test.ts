/** `ultralytics` and `safety` from the wire to a Plan and back: the networks used, and the answers. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import { ModelStore } from '../../src/store/models.ts';
import { bundledClassifier, bundledDetector } from '../fixtures/tools.ts';
import { type Bench, createBench, task } from './fixture.ts';

let bench: Bench;
let models: string;

beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'retouch-models-'));
});

afterEach(async () => {
  await bench?.close();
  await rm(models, { recursive: true });
});

/** Without an architecture: those of an operator's own are the usual ones. */
async function install(category: string, name: string, files: string, settings: object = {}): Promise<void> {
  await mkdir(join(models, name), { recursive: true });
  const manifest = {
    category,
    air: `me:${name}@1`,
    name,
    files,
    settings,
    license: 'AGPL-3.0',
  };
  await writeFile(join(models, name, 'manifest.json'), JSON.stringify(manifest));
}

const open = async (flags: Record<string, string> = {}) => {
  bench = await createBench({ 'models-dir': models, ...flags });
};

async function planOf(fields: object): Promise<Plan> {
  const { status, text } = await bench.post([{ ...task, taskUUID: randomUUID(), ...fields }]);
  expect(status, text).toBe(200);
  return bench.engine.plans.at(-1)!;
}

describe('ultralytics', () => {
  it('is no refinement where it is not asked for', async () => {
    await open();
    expect((await planOf({})).faces).toBeUndefined();
  });

  it('becomes what the page says where nothing else is, with the prompts of the picture', async () => {
    await open();
    const plan = await planOf({ ultralytics: {}, negativePrompt: 'blurry', CFGScale: 2.5 });
    expect(plan.faces).toEqual({
      detector: bundledDetector,
      confidence: 0.9,
      maskPadding: 5,
      maskBlur: 5,
      prompt: task.positivePrompt,
      negativePrompt: 'blurry',
      steps: 20,
      guidance: 8,
      strength: 0.3,
    });
  });

  it('becomes every one of its eight properties', async () => {
    await open();
    const { faces } = await planOf({
      positivePrompt: '__BLANK__',
      ultralytics: {
        CFGScale: 3.5,
        confidence: 0.55,
        maskBlur: 0,
        maskPadding: 20,
        positivePrompt: 'a kind face',
        negativePrompt: 'a grim face',
        steps: 7,
        strength: 0,
      },
    });
    expect(faces).toEqual({
      detector: bundledDetector,
      confidence: 0.55,
      maskPadding: 20,
      maskBlur: 0,
      prompt: 'a kind face',
      negativePrompt: 'a grim face',
      steps: 7,
      guidance: 3.5,
      strength: 0,
    });
    expect((await planOf({ positivePrompt: '__BLANK__', ultralytics: {} })).faces).toMatchObject({
      prompt: '',
    });
  });

  it('has no negative prompt where its guidance is off', async () => {
    await open();
    const off = { ultralytics: { CFGScale: 1, negativePrompt: 'a grim face' } };
    expect((await planOf(off)).faces).toMatchObject({ guidance: 1, negativePrompt: '' });
  });

  it.each([
    [{ CFGScale: 50.1 }, 'invalidUltralyticsCFGScale'],
    [{ confidence: 1.01 }, 'invalidUltralyticsConfidence'],
    [{ maskBlur: 101 }, 'invalidUltralyticsMaskBlur'],
    [{ maskPadding: 21 }, 'invalidUltralyticsMaskPadding'],
    [{ steps: 0 }, 'invalidUltralyticsSteps'],
    [{ strength: -0.1 }, 'invalidUltralyticsStrength'],
  ])('refuses %j', async (ultralytics, code) => {
    await open();
    const { status, body } = await bench.post([{ ...task, ultralytics }]);
    expect([status, body.error?.code]).toEqual([400, code]);
  });

  it("uses the operator's own detector when there is one, with its settings", async () => {
    await install('face-detector', 'yolo', 'face.onnx', { overlap: 0.5 });
    await open();
    expect((await planOf({ ultralytics: {} })).faces?.detector).toEqual({
      air: 'me:yolo@1',
      architecture: 'ultralytics',
      files: { weights: join(models, 'yolo', 'face.onnx') },
      settings: { overlap: 0.5 },
    });
  });
});

describe('of several detectors', () => {
  const scan = (aliases: Record<string, string> = {}) =>
    ModelStore.scan({ models, cache: join(models, 'cache'), aliases });

  it('the first is used and the others are reported, unless an alias of the bundled one chooses', async () => {
    await install('face-detector', 'a', 'a.onnx');
    await install('face-detector', 'b', 'b.onnx');
    await open();
    const store = await scan();
    expect(store.findTool('face-detector').air).toBe('me:a@1');
    expect(store.problems).toEqual([
      'More than one face-detector is installed (me:a@1, me:b@1): me:a@1 is used; --alias retouch:face@1=<air> chooses.',
    ]);
    const chosen = await scan({ 'retouch:face@1': 'me:b@1' });
    expect([chosen.findTool('face-detector').air, chosen.problems]).toEqual(['me:b@1', []]);
    expect(chosen.findTool('safety-classifier').air).toBe('retouch:nsfw@1');
  });

  it('an alias that is not installed is an error, not another detector', async () => {
    await open();
    const store = await scan({ 'retouch:face@1': 'me:none@1' });
    expect(() => store.findTool('face-detector')).toThrow(/no face-detector me:none@1/);
  });
});

describe('safety', () => {
  /** The engine reports every classified picture as unsafe. */
  function judge(nsfw: boolean): void {
    bench.engine.run = async function* (plan: Plan): AsyncGenerator<EngineEvent> {
      bench.engine.plans.push(plan);
      const { width, height, output } = plan;
      const image = { bytes: Buffer.from('x'), format: output.format, width, height };
      const checked = plan.safety ? { nsfw } : {};
      yield { type: 'image', image: { ...image, ...checked }, milliseconds: 1 };
    };
  }

  const items = async (fields: object) => {
    const { body } = await bench.post([{ ...task, taskUUID: randomUUID(), ...fields }]);
    return body.data;
  };

  it.each([
    [{}, false],
    [{ safety: {} }, false],
    [{ safety: { checkContent: false } }, false],
    [{ safety: { checkContent: true } }, true],
    [{ safety: { mode: 'fast' } }, true],
    [{ safety: { mode: 'none' } }, false],
    [{ safety: { checkContent: true, mode: 'none' } }, false],
    [{ safety: { checkContent: false, mode: 'fast' } }, true],
    [{ checkNSFW: true }, true],
    [{ checkNSFW: false }, false],
  ])('%j: checked %s', async (fields, checked) => {
    await open();
    expect((await planOf(fields)).safety).toEqual(checked ? bundledClassifier : undefined);
  });

  it.each([true, false])('answers NSFWContent %s, with the picture, when it was asked', async (nsfw) => {
    await open();
    judge(nsfw);
    const asked = await items({ safety: { checkContent: true }, numberResults: 2 });
    expect(asked).toHaveLength(2);
    for (const item of asked) expect(item).toMatchObject({ NSFWContent: nsfw, imageURL: expect.any(String) });
    for (const item of await items({})) expect(item).not.toHaveProperty('NSFWContent');
    for (const item of await items({ safety: { checkContent: true, mode: 'none' } }))
      expect(item).not.toHaveProperty('NSFWContent');
  });

  it('says so in base64 answers and to who polls, too', async () => {
    await open();
    judge(true);
    const [direct] = await items({ safety: { mode: 'fast' }, outputType: 'base64Data' });
    expect(direct).toMatchObject({ NSFWContent: true, imageBase64Data: expect.any(String) });
    const later = randomUUID();
    const asked = { ...task, taskUUID: later, safety: { mode: 'fast' }, deliveryMethod: 'async' };
    await bench.post([asked]);
    await expect
      .poll(async () => (await bench.post([{ taskType: 'getResponse', taskUUID: later }])).body.data[0])
      .toMatchObject({ status: 'success', NSFWContent: true });
  });

  it("uses the operator's own classifier when there is one", async () => {
    await install('safety-classifier', 'falconsai', '.', { threshold: 0.9 });
    await open();
    expect((await planOf({ safety: { mode: 'fast' } })).safety).toEqual({
      air: 'me:falconsai@1',
      architecture: 'vit',
      files: { weights: join(models, 'falconsai') },
      settings: { threshold: 0.9 },
    });
  });
});
