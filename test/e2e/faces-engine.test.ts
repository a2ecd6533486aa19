/** Faces and safety in a complete run of the engine: early refusals, and memory. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import { readPlanRecord } from '../../src/engine/pipeline/plan-record.ts';
import type { EngineEvent, FinishedImage, Plan, ToolSource } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';
import { encodeDetector } from '../fixtures/onnx-detector.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { bundledClassifier } from '../fixtures/tools.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const model = fileURLToPath(new URL('../../model', import.meta.url));
let folder: string;
let plan: Plan;
let refined: Plan;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-faces-'));
  // Finds one face in the middle of every image.
  const weights = join(folder, 'face.onnx');
  const found = Float32Array.of(24, 24, 40, 40, 0.95, 0);
  await writeFile(weights, encodeDetector(found, [1, 1, 6], [1, 3, 64, 64]));
  plan = scriptedPlan('make it sunset', {
    model: { air: 'retouch:mini@1', files: { layout: 'diffusers', folder: model }, cacheFolder: folder },
    width: 256,
    height: 256,
    steps: 1,
  });
  refined = {
    ...plan,
    faces: {
      detector: { air: 'test:face@1', architecture: 'ultralytics', files: { weights }, settings: {} },
      confidence: 0.9,
      maskPadding: 0,
      maskBlur: 2,
      // A prompt that the embedded model does not know would be warned of.
      prompt: 'make it night',
      negativePrompt: '',
      steps: 2,
      guidance: 8,
      strength: 1,
    },
  };
});

afterAll(() => rm(folder, { recursive: true, force: true }));

type Run = { image?: FinishedImage; events: EngineEvent[]; error?: RetouchError };

async function run(plan: Plan, memoryLimit = 2 ** 40): Promise<Run> {
  const engine = createEngine({ threads: 2, memoryLimit, log: () => {} });
  const events: EngineEvent[] = [];
  try {
    for await (const event of engine.run(plan, new AbortController().signal)) events.push(event);
    const last = events.at(-1)!;
    return last.type === 'image' ? { image: last.image, events } : { events };
  } catch (error) {
    if (error instanceof RetouchError) return { error, events };
    throw error;
  } finally {
    await engine.release();
  }
}

const stepped = ({ events }: Run) => events.some(({ type }) => type === 'step-end');

it('a detector or a classifier that cannot be used stops a run before its first step', async () => {
  const broken: ToolSource = { ...bundledClassifier, files: { weights: join(folder, 'none') } };
  const faces = { ...refined.faces!, detector: { ...broken, architecture: 'ultralytics' } };
  for (const wrong of [
    { ...refined, faces },
    { ...plan, safety: broken },
  ]) {
    const result = await run(wrong);
    expect(result.error).toMatchObject({ code: 'modelFileMissing' });
    expect(stepped(result)).toBe(false);
  }
});

it('faces are refined after the picture, told at their end, and nothing else changes', async () => {
  const without = await run({ ...plan, safety: bundledClassifier });
  const result = await run({ ...refined, safety: bundledClassifier });
  const order = result.events.map(({ type }) => type).filter((type) => type !== 'stage-progress');
  expect(order).toEqual(['load-end', 'encode-end', 'step-end', 'decode-end', 'faces-end', 'image']);
  expect(result.events).toContainEqual({
    type: 'faces-end',
    faces: [{ left: 96, top: 96, right: 160, bottom: 160, score: expect.closeTo(0.95, 5) }],
    found: 1,
    milliseconds: expect.any(Number),
  });
  expect(Buffer.compare(result.image!.bytes, without.image!.bytes)).not.toBe(0);
  expect([without.image!.nsfw, result.image!.nsfw]).toEqual([false, false]);
  expect((await run(plan)).image).not.toHaveProperty('nsfw');
});

it('of many faces the ten that score highest are refined, the largest first', async () => {
  const rows = Array.from({ length: 30 }, (_, i) => [2 * i, 0, 2 * i + 1 + (i % 3), 2, i / 100, 0]);
  const weights = join(folder, 'crowd.onnx');
  await writeFile(weights, encodeDetector(Float32Array.from(rows.flat()), [1, 30, 6], [1, 3, 64, 64]));
  const detector = { ...refined.faces!.detector, files: { weights } };
  const { events } = await run({
    ...refined,
    faces: { ...refined.faces!, detector, confidence: 0, steps: 1 },
  });
  expect(events).toContainEqual({
    type: 'warning',
    code: 'facesLimited',
    message: '30 faces were found; the 10 that score highest are painted again.',
  });
  const end = events.find((event) => event.type === 'faces-end')!;
  expect(end.found).toBe(30);
  expect(end.faces.map(({ score }) => Math.round(score * 100)).sort()).toEqual(
    Array.from({ length: 10 }, (_, i) => 20 + i),
  );
  const widths = end.faces.map(({ left, right }) => right - left);
  expect(widths).toEqual(widths.toSorted((a, b) => b - a));
});

it('a prompt beyond the window of the text encoder is warned of and recorded', async () => {
  const warningsOf = ({ events }: Run) =>
    events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  const long = await run({ ...plan, prompt: `${'please '.repeat(40)}a red car` });
  const [warning, ...others] = warningsOf(long);
  // The tokens that are read ask for nothing.
  expect(others).toEqual(['The embedded model did not recognise an instruction it knows.']);
  expect(warning).toMatch(
    /^The prompt has \d+ tokens, of which the model reads the first 32; the rest has no effect\.$/,
  );
  expect(readPlanRecord(long.image!.bytes)).toMatchObject({
    warnings: [{ code: 'promptTruncated', message: warning }, { code: 'instructionUnknown' }],
  });
  const short = await run(plan);
  expect(warningsOf(short)).toEqual([]);
  expect(readPlanRecord(short.image!.bytes)).not.toHaveProperty('warnings');
  const both = await run({ ...plan, trueCfg: 2, negativePrompt: 'ugly '.repeat(40) });
  expect(warningsOf(both)).toEqual([expect.stringMatching(/^The negative prompt has \d+ tokens/)]);
});

it('a face needs the memory of a whole picture, which is asked for before the first step', async () => {
  let limit = 2 ** 20;
  let small = await run(plan, limit);
  while (small.error) {
    limit = Number(small.error.details.needed);
    small = await run(plan, limit);
  }
  let result = await run(refined, limit);
  expect(result.error).toMatchObject({ code: 'notEnoughMemory' });
  for (; result.error; result = await run(refined, limit)) {
    expect(result.error.code).toBe('notEnoughMemory');
    expect(stepped(result)).toBe(false);
    limit = Number(result.error.details.needed);
  }
  // With no more than that, networks are released and loaded again, and the picture is the same.
  const roomy = await run(refined);
  expect(Buffer.compare(result.image!.bytes, roomy.image!.bytes)).toBe(0);
});
