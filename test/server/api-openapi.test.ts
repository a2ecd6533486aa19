import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringifyJson } from '../../src/api/json.ts';
import { parseTasks } from '../../src/api/parse.ts';
import type { TaskType } from '../../src/api/task-type.ts';
import { taskTypes } from '../../src/api/tasks/index.ts';
import { fieldsWith, invalidValues, minimal, page, validValues } from '../fixtures/model-page.ts';
import { type Bench, createBench, task } from './fixture.ts';

type Schemas = Record<string, object>;
type Document = { openapi: string; components: { schemas: Schemas }; documentation: string } & Record<
  'requestSchema' | 'responseSchema',
  object
>;
type Check = { (value: unknown): boolean; errors?: unknown };

let bench: Bench;
let openapi: Document;
let check: (name: string) => Check;

beforeAll(async () => {
  bench = await createBench();
  openapi = await get('/openapi.json');
  // Steps of 0.01 are not exact in binary.
  const ajv = new Ajv2020({ allErrors: true, strict: false, multipleOfPrecision: 9 });
  addFormats.default(ajv);
  ajv.addSchema(openapi, 'openapi');
  check = (name) => ajv.getSchema(`openapi#/components/schemas/${name}`) as Check;
});

afterAll(() => bench.close());

async function get(url: string, headers: Record<string, string> = {}): Promise<Document> {
  const response = await bench.server.inject({ method: 'GET', url, headers });
  expect(response.statusCode, url).toBe(200);
  return response.json();
}

/** The document in a client's validator: numbers have 53 bits. */
const plain = (value: unknown) => JSON.parse(stringifyJson(value));
const entries = Object.entries(taskTypes) as unknown as [string, TaskType][];
const title = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

describe('/openapi.json', () => {
  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(openapi));
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(openapi.openapi).toMatch(/^3\.1/);
  });

  it('has every task type, each with an example and what answers it', () => {
    for (const [name, { result, about }] of entries) {
      expect(openapi.components.schemas[`${title(name)}Task`], name).toMatchObject({
        description: about,
        examples: expect.any(Array),
      });
      expect(result, name).toBeDefined();
      expect(openapi.components.schemas, name).toHaveProperty(`${title(name)}Result`);
    }
  });

  it.each(
    entries.flatMap(([name, { examples = [] }]) => examples.map((example) => [name, example] as const)),
  )('an example of %s passes it and the parser', (name, example) => {
    const validate = check(`${title(name)}Task`);
    expect(validate(plain(example)), JSON.stringify(validate.errors)).toBe(true);
    expect(check('Tasks')(plain([example]))).toBe(true);
    const context = { maxTasks: 1, explainMissingModel: () => undefined };
    expect(parseTasks(Buffer.from(stringifyJson([example])), context)).toMatchObject([
      { task: { taskType: name } },
    ]);
  });

  it.each(page.request.map((parameter) => [parameter.path, parameter] as const))(
    '%s passes and fails it as the page says',
    (_, parameter) => {
      const validate = check('ImageInferenceTask');
      const isValid = (value: unknown) => validate(plain({ ...minimal, ...fieldsWith(parameter, value) }));
      for (const value of validValues(parameter)) expect(isValid(value), stringifyJson(value)).toBe(true);
      for (const value of invalidValues(parameter)) {
        // The page's maximum of a seed and the number after it are the same in 53 bits.
        if (typeof value === 'bigint' && Number(value) === Number(parameter.max)) continue;
        expect(isValid(value), stringifyJson(value)).toBe(false);
      }
    },
  );

  it.each([
    [{ width: 1024 }],
    [{ height: 1024 }],
    [{ width: 512, height: 512 }],
    [{ width: 1568, height: 688 }],
    [{ ttl: 60, outputType: 'dataURI' }],
    [{ acceleratorOptions: { fbCache: true, teaCache: true } }],
    [{ acceleratorOptions: { dbCache: true, teaCache: true } }],
    [{ acceleratorOptions: { cacheStartStep: 1, cacheStartStepPercentage: 1 } }],
    [{ acceleratorOptions: { cacheEndStep: 1, cacheEndStepPercentage: 1 } }],
    [{ unheardOf: 1 }],
    [{ taskType: 'imageInferense' }],
    [{ model: undefined }],
  ])('%j fails it', (fields) => {
    expect(check('ImageInferenceTask')(plain({ ...minimal, ...fields }))).toBe(false);
    expect(check('Tasks')(plain([{ ...minimal, ...fields }]))).toBe(false);
  });

  it('describes what the server answers', async () => {
    const answers = await Promise.all([
      bench.post([task]),
      bench.post([{ taskType: 'ping' }]),
      bench.post([{ ...task, steps: 0, seed: -1, width: 5 }]),
      bench.post('no JSON'),
      bench.post([{ taskType: 'authentication', apiKey: 'x' }]),
    ]);
    for (const { text } of answers) {
      const validate = check('Answer');
      expect(validate(JSON.parse(text)), `${text} ${JSON.stringify(validate.errors)}`).toBe(true);
    }
  });

  it('is sent again only when it changed', async () => {
    const { headers } = await bench.server.inject({ method: 'GET', url: '/openapi.json' });
    const again = { 'if-none-match': String(headers.etag) };
    const second = await bench.server.inject({ method: 'GET', url: '/openapi.json', headers: again });
    expect([second.statusCode, second.body]).toEqual([304, '']);
  });
});

describe('/registry.json', () => {
  it('names the task type of every installed model', async () => {
    expect(await get('/registry.json')).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      models: { 'retouch:mini@1': { taskType: 'imageInference', id: 'retouch-mini-1' } },
      architectureTaskTypes: { 'flux-kontext': 'imageInference' },
      modalityTaskTypes: { image: 'imageInference' },
    });
  });
});

describe('/resolve/:air', () => {
  it.each(['retouch%3Amini%401', 'retouch:mini@1', 'retouch-mini-1'])(
    'of %s is a schema that any validator agrees with, also about hundredths',
    async (air) => {
      const { requestSchema, responseSchema, documentation } = await get(`/resolve/${air}`);
      expect(documentation).toBe(page.source);
      // Like the SDK.
      const ajv = new Ajv2019({ allErrors: true, strict: false, validateFormats: false });
      const request = ajv.compile(requestSchema);
      for (const CFGScale of [0.29, 0.57, 2.51, 19.99]) expect(request({ ...minimal, CFGScale })).toBe(true);
      expect(request({ ...minimal, CFGScale: 20.01 })).toBe(false);
      expect(request({ ...minimal, width: 512, height: 512 })).toBe(false);
      const { body } = await bench.post([{ ...task, taskUUID: crypto.randomUUID() }]);
      expect(ajv.compile(responseSchema)(body.data[0])).toBe(true);
    },
  );

  it.each(['no:such@1', '%00', '..%2F..', 'x'.repeat(190)])('of %s is not found', async (air) => {
    const response = await bench.server.inject({ method: 'GET', url: `/resolve/${air}` });
    expect([response.statusCode, response.json().error.code]).toEqual([404, 'modelNotFound']);
  });
});
