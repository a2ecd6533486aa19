/** A picture's metadata, read as the playground reads it, gives the request that made the picture. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJson, stringifyJson } from '../../src/api/json.ts';
import { describeApi } from '../../src/api/openapi.ts';
import { encodeImage } from '../../src/engine/image/image-codec.ts';
import { describePlan, embedPlan } from '../../src/engine/pipeline/plan-record.ts';
import type { Plan } from '../../src/engine/plan.ts';
import { readPlanRecord } from '../../web/src/pictures/metadata.ts';
import { restore } from '../../web/src/pictures/restore.ts';
import { fieldsOf } from '../../web/src/request/fields.ts';
import { buildRequest } from '../../web/src/request/request.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { type Bench, createBench } from './fixture.ts';

const document = JSON.parse(stringifyJson(describeApi({ version: '1', maxTasks: 10 })));
const fields = fieldsOf(document.components.schemas.ImageInferenceTask);

let bench: Bench;

beforeAll(async () => {
  bench = await createBench();
});

afterAll(() => bench.close());

/** The plan of a request, made by the server. */
async function planOf(request: object): Promise<Plan> {
  const { body } = await bench.post([
    { taskType: 'imageInference', taskUUID: crypto.randomUUID(), ...request },
  ]);
  expect(body.errors).toBeUndefined();
  return bench.engine.plans.at(-1)!;
}

const task = { model: 'retouch:mini@1', positivePrompt: 'make the sky pink', seed: 7 };

describe('restoring', () => {
  it.each<[string, object]>([
    ['nothing but the prompt', {}],
    ['a seed beyond 2^53', { seed: 9223372036854775807n }],
    ['size, steps and scheduler', { width: 1248, height: 832, steps: 12, scheduler: 'UniPC 3M Karras' }],
    ['guidance and a negative prompt', { CFGScale: 4, negativePrompt: 'rain, “fog”', trueCFGScale: 2.5 }],
    [
      'TeaCache',
      { acceleratorOptions: { teaCache: true, teaCacheDistance: 0.31, cacheMaxConsecutiveSteps: 2 } },
    ],
    [
      'a first-block cache in a window',
      { acceleratorOptions: { fbCache: true, fbCacheThreshold: 0.4, cacheStartStep: 3, cacheEndStep: 20 } },
    ],
    [
      'a dual-block cache with its warm-up',
      { acceleratorOptions: { dbCache: true, dbCacheThreshold: 0.15, dbCacheSkipInterval: 4 } },
    ],
    [
      'a dual-block cache from the first step on',
      { acceleratorOptions: { dbCache: true, cacheStartStep: 0 } },
    ],
    ['kept references', { acceleratorOptions: { referenceCache: true, referenceCacheInterval: 3 } }],
    ['faces', { ultralytics: { strength: 0.4, positivePrompt: 'a smile', steps: 9, CFGScale: 3 } }],
    ['a content check', { safety: { mode: 'fast' } }],
    ['the output', { outputFormat: 'WEBP', outputQuality: 80 }],
  ])('brings back %s', async (_, parameters) => {
    const plan = await planOf({ ...task, ...parameters });
    const record = JSON.parse(JSON.stringify(describePlan(plan)));
    const { model, prompt, references, values } = restore(record);
    const request = parseJson(stringifyJson(buildRequest(fields, { model, prompt, references, values })));
    expect(await planOf(request as object)).toEqual(plan);
  });

  it('brings back adapters, and the pictures by what they are', () => {
    const plan = scriptedPlan('a b', {
      references: [Uint8Array.of(1)],
      loras: [{ air: 'a:b@1', file: '/x', weight: -0.5, stage: 'low' }],
      ipAdapters: [
        {
          ...{ air: 'c:d@1', file: '/x', imageEncoder: '/y', faceDetector: undefined },
          guides: [Uint8Array.of(2)],
          ...{ weight: 0.7, weightType: 'ease_in', weightComposition: 0.4 },
          ...{ combineMethod: 'average', embedScaling: 'only_v' },
        },
      ],
    });
    const { references, values } = restore(JSON.parse(JSON.stringify(describePlan(plan))));
    expect(references).toEqual(['4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a']);
    expect(values.lora).toEqual([{ model: 'a:b@1', weight: -0.5, transformer: 'low' }]);
    expect(values.ipAdapters).toEqual([
      {
        model: 'c:d@1',
        guideImages: ['dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986'],
        ...{ weight: 0.7, weightType: 'ease_in', weightComposition: 0.4 },
        ...{ combineMethod: 'average', embedScaling: 'only_v' },
      },
    ]);
  });
});

describe('metadata', () => {
  const bitmap = { width: 24, height: 17, data: new Uint8Array(24 * 17 * 3).fill(90) };
  const plan = scriptedPlan('“a café”, 雪\nin two lines');

  it.each(['png', 'jpg', 'webp'] as const)('is read from a %s', async (format) => {
    const { bytes } = embedPlan(await encodeImage(bitmap, format, 90), plan);
    expect(readPlanRecord(bytes)).toMatchObject({ software: 'Retouch', prompt: plan.prompt });
  });

  it.each(['png', 'jpg', 'webp'] as const)(
    'is undefined for a %s of others, and for one cut off anywhere',
    async (format) => {
      const image = await encodeImage(bitmap, format, 90);
      expect(readPlanRecord(image.bytes)).toBeUndefined();
      const { bytes } = embedPlan(image, plan);
      for (let length = 0; length < Math.min(bytes.length, 400); length++)
        readPlanRecord(bytes.slice(0, length));
      expect(readPlanRecord(new Uint8Array())).toBeUndefined();
    },
  );
});
