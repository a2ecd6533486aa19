/** Parameters of a valid task without effect are reported, with their values. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bench, createBench, task } from './fixture.ts';

const air = 'me:narrow@1';
let bench: Bench;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'retouch-models-'));
  const folder = join(models, 'narrow');
  const manifest = {
    air,
    name: 'narrow',
    architecture: 'flux-kontext',
    files: '.',
    defaults: { steps: 4, guidance: 2.5 },
    guidance: { min: 1, max: 7 },
    sizes: [
      [512, 384],
      [384, 512],
    ],
    license: 'none',
  };
  await mkdir(folder);
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  bench = await createBench({ 'models-dir': models });
});

afterAll(async () => {
  await bench.close();
  await rm(models, { recursive: true });
});

/** The plan of a task, and the warnings in the log. */
async function send(fields: object) {
  bench.logged.length = 0;
  const { status, text } = await bench.post([{ ...task, taskUUID: randomUUID(), model: air, ...fields }]);
  expect(status, text).toBe(200);
  const warnings = bench.logged
    .map((line) => JSON.parse(line))
    .filter(({ level }) => level === 'warn')
    .map(({ code, message }) => `${code}: ${message}`);
  return { plan: bench.engine.plans.at(-1)!, warnings };
}

describe('a guidance', () => {
  it.each([
    [1, 1],
    [7, 7],
    [7.5, 7],
    [20, 7],
    [0, 1],
  ])('of %d is used as %d by a model trained with 1 to 7', async (CFGScale, used) => {
    const { plan, warnings } = await send({ CFGScale });
    expect(plan.guidance).toBe(used);
    expect(warnings).toEqual(
      CFGScale === used
        ? []
        : [`guidanceClamped: 'CFGScale' is ${CFGScale}; ${air} draws well with 1 to 7, so ${used} is used.`],
    );
  });

  it('of faces is brought into the range too', async () => {
    const { plan, warnings } = await send({ ultralytics: {} });
    expect(plan.faces?.guidance).toBe(7);
    expect(warnings).toEqual([
      `guidanceClamped: 'ultralytics.CFGScale' is 8; ${air} draws well with 1 to 7, so 7 is used.`,
    ]);
  });

  it('is used as it is by a model without a range', async () => {
    const { plan, warnings } = await send({ model: task.model, CFGScale: 20 });
    expect([plan.guidance, warnings]).toEqual([20, []]);
  });
});

describe('a negative prompt', () => {
  const negativePrompt = 'a blue car';
  it.each([
    [
      { negativePrompt },
      "negativePromptUnused: 'negativePrompt' has no effect without a 'trueCFGScale' above 1.",
    ],
    [
      { negativePrompt, trueCFGScale: 1 },
      "negativePromptUnused: 'negativePrompt' has no effect without a 'trueCFGScale' above 1.",
    ],
    [
      { negativePrompt, CFGScale: 1, trueCFGScale: 4 },
      "negativePromptUnused: 'negativePrompt' has no effect while 'CFGScale' is 1 or less.",
    ],
    [{ negativePrompt, trueCFGScale: 4 }, undefined],
    [{ trueCFGScale: 4 }, undefined],
    [{ trueCFGScale: 0 }, "trueCfgUnused: 'trueCFGScale' is 0; it acts above 1 only."],
    [{ trueCFGScale: -1 }, "trueCfgUnused: 'trueCFGScale' is -1; it acts above 1 only."],
  ])('%j: %s', async (fields, warning) => {
    expect((await send(fields)).warnings).toEqual(warning === undefined ? [] : [warning]);
  });
});

describe("a model's own sizes", () => {
  it('may be asked for, and no others', async () => {
    expect((await send({ width: 384, height: 512 })).plan).toMatchObject({ width: 384, height: 512 });
    const { body } = await bench.post([
      { ...task, taskUUID: randomUUID(), model: air, width: 1024, height: 1024 },
    ]);
    expect(body.error).toMatchObject({
      code: 'unsupportedDimensions',
      allowedValues: ['512x384', '384x512'],
    });
  });
});
