/** The form of the playground against the schemas that the server publishes. */

import { describe, expect, it } from 'vitest';
import { stringifyJson } from '../../src/api/json.ts';
import { describeApi } from '../../src/api/openapi.ts';
import { parseTasks } from '../../src/api/parse.ts';
import { listedSizes } from '../../src/api/sizes.ts';
import { imageInference } from '../../src/api/tasks/image-inference.ts';
import { placeErrors } from '../../web/src/request/field-errors.ts';
import {
  type Field,
  fieldsOf,
  groupFields,
  type JsonSchema,
  ownFields,
} from '../../web/src/request/fields.ts';
import { buildRequest, readNumber, readValues } from '../../web/src/request/request.ts';
import { explainScheduler, groupSchedulers, nameScheduler } from '../../web/src/request/schedulers.ts';
import { nearestSize, ratioName, sizesOf } from '../../web/src/request/sizes.ts';
import { page } from '../fixtures/model-page.ts';

const document = JSON.parse(stringifyJson(describeApi({ version: '1', maxTasks: 10 })));
const schema = document.components.schemas.ImageInferenceTask as JsonSchema;
const fields = fieldsOf(schema);
const field = (path: string) => fields.find((each) => each.path === path) as Field;

const asked = { model: 'retouch:mini@1', prompt: 'make the sky pink', references: [], values: {} };
const minimal = { taskType: 'imageInference', model: 'retouch:mini@1', positivePrompt: 'make the sky pink' };

describe('the form', () => {
  it('has every parameter of the model page, each with a word on what it is for', () => {
    const paths = fields.flatMap(({ path, fields: inner = [] }) => [
      path,
      ...inner.map((each) => `${path}.${each.path}`),
    ]);
    // Objects are flattened; dotted names have the path.
    const objects = ['safety', 'acceleratorOptions', 'ultralytics'];
    const expected = page.request
      .map(({ path }) => (path === 'referenceImages' ? 'inputs.referenceImages' : path))
      .filter((path) => !objects.includes(path));
    expect(expected.filter((path) => !paths.includes(path) && !paths.includes(`inputs.${path}`))).toEqual([]);
    const silent = fields.filter(({ path, about }) => about === '' && !ownFields.includes(path));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it('puts each parameter into one group, and leaves none over', () => {
    const grouped = groupFields(fields);
    const paths = grouped.flatMap((group) => group.fields.map(({ path }) => path));
    expect(new Set(paths).size).toBe(paths.length);
    expect([...paths, ...ownFields].sort()).toEqual(fields.map(({ path }) => path).sort());
    expect(grouped.map(({ title }) => title)).not.toContain('More');
  });

  it('shows a parameter that a newer server has', () => {
    const newer = fieldsOf({ properties: { ...schema.properties, novelty: { type: 'number', minimum: 0 } } });
    expect(groupFields(newer).at(-1)).toMatchObject({
      title: 'More',
      fields: [{ path: 'novelty', kind: 'number' }],
    });
  });

  it('knows bounds, steps, defaults and choices', () => {
    expect(field('steps')).toMatchObject({ kind: 'integer', min: 1, max: 50, step: 1 });
    expect(field('acceleratorOptions.teaCacheDistance')).toMatchObject({
      min: 0,
      max: 1,
      step: 0.01,
      default: 0.5,
    });
    expect(field('outputFormat')).toMatchObject({
      kind: 'choice',
      choices: ['JPG', 'PNG', 'WEBP'],
      default: 'JPG',
    });
    expect(field('safety.checkContent')).toMatchObject({ kind: 'boolean', default: false });
    // The bounds of exact numbers are no bounds of a parameter.
    expect(field('ttl')).not.toHaveProperty('max');
    expect(field('lora').fields?.map(({ path }) => path)).toEqual(['model', 'weight', 'transformer']);
  });
});

describe('the request', () => {
  it('has nothing that is at its default', () => {
    const values = Object.fromEntries(fields.map(({ path, default: initial }) => [path, initial]));
    expect(buildRequest(fields, { ...asked, values })).toEqual(minimal);
  });

  it('says that there is no prompt where there is none', () => {
    expect(buildRequest(fields, { ...asked, prompt: '  ' }).positivePrompt).toBe('__BLANK__');
  });

  it('reads what was typed as numbers, beyond 2^53 exactly, and sends what is none as it is', () => {
    const values = { steps: '8', CFGScale: '2.75', seed: '9223372036854775807', numberResults: 'many' };
    expect(buildRequest(fields, { ...asked, values })).toEqual({
      ...minimal,
      steps: 8,
      CFGScale: 2.75,
      seed: 9223372036854775807n,
      numberResults: 'many',
    });
    expect(readNumber('.5')).toBe(0.5);
    expect(readNumber('1e3')).toBe('1e3');
  });

  it('nests objects, and turns the faces on with every default', () => {
    const values = { ultralytics: true, 'ultralytics.strength': 0.5, 'acceleratorOptions.teaCache': true };
    expect(buildRequest(fields, { ...asked, values })).toEqual({
      ...minimal,
      ultralytics: { strength: 0.5 },
      acceleratorOptions: { teaCache: true },
    });
    expect(buildRequest(fields, { ...asked, values: { ultralytics: true } }).ultralytics).toEqual({});
    // Settings of the faces are not sent while the faces are off.
    expect(buildRequest(fields, { ...asked, values: { 'ultralytics.strength': 0.5 } })).toEqual(minimal);
  });

  it('has adapters with what differs from their defaults', () => {
    const values = {
      lora: [{ model: 'retouch:neon@1', weight: '0.8', transformer: 'both' }],
      ipAdapters: [{ model: 'retouch:mood@1', guideImages: ['a'], weight: 1, weightType: 'ease_in' }],
    };
    expect(buildRequest(fields, { ...asked, values })).toEqual({
      ...minimal,
      lora: [{ model: 'retouch:neon@1', weight: 0.8 }],
      ipAdapters: [{ model: 'retouch:mood@1', guideImages: ['a'], weightType: 'ease_in' }],
    });
  });

  it.each(imageInference.examples.map((example) => [example.positivePrompt, example] as const))(
    'comes out as it went in: %s',
    (prompt, example) => {
      const wire = JSON.parse(stringifyJson(example));
      const { taskUUID, ...request } = wire;
      const { model, inputs } = request;
      const values = readValues(fields, request);
      const references = inputs?.referenceImages ?? [];
      const built = buildRequest(fields, { model, prompt, references, values });
      const withoutDefaults = { ...request };
      if (request.outputFormat === 'JPG') delete withoutDefaults.outputFormat;
      expect(built).toEqual(withoutDefaults);
      const context = { maxTasks: 1, explainMissingModel: () => undefined };
      const [parsed] = parseTasks(Buffer.from(stringifyJson([{ ...built, taskUUID }])), context);
      expect(parsed).toHaveProperty('task');
    },
  );
});

describe('errors', () => {
  const error = (parameter: string | string[]) => ({ code: 'invalid', message: 'No.', parameter });

  it('stand at the field that they name, at both where they name two', () => {
    const placed = placeErrors([error('steps'), error(['width', 'height'])], fields);
    expect([...placed.fields.keys()]).toEqual(['steps', 'width', 'height']);
    expect(placed.others).toEqual([]);
  });

  it('stand at the element of a list', () => {
    const placed = placeErrors([error('lora[1].weight')], fields);
    expect([...placed.fields.keys()]).toEqual(['lora[1].weight']);
  });

  it('that name nothing of the form are told besides', () => {
    const others = [{ code: 'engineCrashed', message: 'It crashed.' }, error('unheardOf')];
    expect(placeErrors(others, fields)).toEqual({ fields: new Map(), others });
  });
});

describe('schedulers', () => {
  const names = field('scheduler').choices!;

  it('are each in one family, with a word on what they are', () => {
    const grouped = groupSchedulers(names).flatMap((family) => family.names);
    expect(grouped.toSorted()).toEqual(names.toSorted());
    expect(names.filter((name) => explainScheduler(name) === undefined)).toEqual([]);
  });

  it('are found by sampler and sigmas', () => {
    expect(nameScheduler({ sampler: 'euler', sigmas: 'shifted' })).toBe('Default');
    expect(nameScheduler({ sampler: 'dpmpp-2m', sigmas: 'karras' })).toBe('DPM++ 2M Karras');
    expect(nameScheduler({ sampler: 'none', sigmas: 'shifted' })).toBeUndefined();
  });
});

describe('sizes', () => {
  it('are the pairs of the schema', () => {
    expect(sizesOf(schema)).toEqual(listedSizes);
    expect(sizesOf({})).toEqual([]);
  });

  it('have names that people know, each another', () => {
    const names = listedSizes.map(ratioName);
    expect(names[0]).toBe('21:9');
    expect(names[8]).toBe('1:1');
    expect(new Set(names).size).toBe(17);
  });

  it('are chosen as the server chooses', () => {
    expect(nearestSize(listedSizes, 4000, 3000)).toEqual([1184, 880]);
    expect(nearestSize([], 1, 1)).toBeUndefined();
  });
});
