/** The model page as a test: test/data/model-page.json is read from the page, not from our schema. */

import { describe, expect, it } from 'vitest';
import type { ErrorObject } from '../../src/api/errors.ts';
import { stringifyJson } from '../../src/api/json.ts';
import { parseTasks } from '../../src/api/parse.ts';
import type { ImageInferenceTask } from '../../src/api/tasks/image-inference.ts';
import { imageInference } from '../../src/api/tasks/image-inference.ts';
import { safetyMode } from '../../src/api/tasks/image-inference-rules.ts';
import {
  departures,
  fieldsWith,
  invalidValues,
  maxOf,
  minimal,
  page,
  validValues,
} from '../fixtures/model-page.ts';

function parse(fields: object): { task?: ImageInferenceTask; errors: ErrorObject[] } {
  const context = { maxTasks: 1, explainMissingModel: () => undefined };
  const [parsed] = parseTasks(Buffer.from(stringifyJson([{ ...minimal, ...fields }])), context);
  if (parsed && 'task' in parsed) return { task: parsed.task as ImageInferenceTask, errors: [] };
  return { errors: parsed?.failures.map(({ error }) => error) ?? [] };
}

/** The errors of the task, except for features that this version lacks. */
function faults(fields: object): ErrorObject[] {
  return parse(fields).errors.filter(({ code }) => code !== 'unsupportedParameter');
}

const show = (value: unknown) => stringifyJson(value) ?? 'undefined';

describe('the model page', () => {
  const paths = page.request.map(({ path }) => path);

  it('has every parameter of the API, and the API every one of the page', () => {
    const known = Object.entries(imageInference.schema.properties).flatMap(([name, schema]) => {
      const inner = schema.type === 'array' ? schema.items : schema;
      const nested =
        'properties' in inner ? Object.keys(inner.properties).map((key) => `${name}.${key}`) : [];
      return name === 'inputs' ? nested : [name, ...nested];
    });
    expect(known.filter((path) => !departures.unlisted.includes(path)).sort()).toEqual([...paths].sort());
  });

  it.each(page.request.map((parameter) => [parameter.path, parameter] as const))(
    '%s is taken at its bounds and for every allowed value',
    (_, parameter) => {
      for (const value of validValues(parameter)) {
        expect(faults(fieldsWith(parameter, value)), show(value)).toEqual([]);
      }
    },
  );

  it.each(page.request.map((parameter) => [parameter.path, parameter] as const))(
    '%s is refused just outside its bounds, between its steps and in another type',
    (path, parameter) => {
      for (const value of invalidValues(parameter)) {
        const [error, ...others] = faults(fieldsWith(parameter, value));
        const shown = show(value).slice(0, 80);
        expect(error, shown).toBeDefined();
        expect(String(error!.parameter).startsWith(path), shown).toBe(true);
        expect(error!.code, shown).toMatch(/^(invalid|missing|unsupportedTaskType)/);
        expect(error!.message, shown).toMatch(/found .*expected|Missing parameter/);
        // Each fault is reported once; a list may have several.
        if (!parameter.type.startsWith('array')) expect(others, shown).toEqual([]);
        if (error!.parameter !== path || parameter.type.startsWith('array')) continue;
        expect(error, shown).toMatchObject({
          documentation: `${page.source}#${parameter.anchor}`,
          type: parameter.type,
          ...(path === 'taskUUID' ? {} : { taskUUID: minimal.taskUUID }),
        });
        const { min, step, values, default: initial } = parameter;
        const max = maxOf(parameter);
        if (min !== undefined) expect(BigInt(error!.min!)).toBe(BigInt(min));
        if (max !== undefined) expect(BigInt(error!.max!)).toBe(BigInt(max));
        expect(error!.multiplier).toBe(step);
        if (initial !== undefined) expect(error!.default).toBe(initial);
        if (values)
          expect(error!.allowedValues?.filter((name) => !departures.values.includes(name as string))).toEqual(
            values,
          );
      }
    },
  );

  it('has no parameter that this version does not act on', () => {
    const idle = page.request.filter((parameter) =>
      validValues(parameter).some((value) =>
        parse(fieldsWith(parameter, value)).errors.some(({ code }) => code === 'unsupportedParameter'),
      ),
    );
    expect(idle.map(({ path }) => path)).toEqual([]);
  });

  const optional = page.request.filter(
    ({ path, required }) => !required && !departures.required.includes(path),
  );

  it.each(optional.map((parameter) => [parameter.path, parameter] as const))(
    '%s as null is as if it were not given',
    (path, parameter) => {
      // Half a pair would be missing its other half.
      const given = path === 'width' || path === 'height' ? { [path]: null } : fieldsWith(parameter, null);
      expect(faults(given)).toEqual([]);
    },
  );

  it.each(
    page.request
      .filter(({ default: initial }) => initial !== undefined)
      .map((parameter) => [parameter.path, parameter] as const),
  )('%s has its default when it is not given', (path, parameter) => {
    const [folder, name] = path.split('.');
    // lora and ipAdapters are read even where the engine cannot run them yet.
    const { schema } = imageInference;
    const top = (schema.properties as Record<string, { items?: unknown }>)[folder!]!;
    const { task, errors } = parse(name === undefined ? {} : fieldsWith(parameter, undefined));
    if (errors.length > 0) {
      const inner = (top.items ?? top) as { properties: Record<string, { default?: unknown }> };
      expect(inner.properties[name!]!.default).toBe(parameter.default);
      return;
    }
    const object = task as unknown as Record<string, unknown>;
    const holder = name === undefined ? object : object[folder!];
    const found = (Array.isArray(holder) ? holder[0] : holder) as Record<string, unknown>;
    const value = path === 'safety.mode' ? safetyMode(task!) : found[name ?? folder!];
    // This default depends on another parameter: test/unit/cache-plan.test.ts has the rule.
    if (path === 'acceleratorOptions.cacheMaxConsecutiveSteps') expect(value).toBeUndefined();
    else expect(value).toBe(parameter.default);
  });

  it.each(
    page.request
      .filter(({ path, required }) => (required || departures.required.includes(path)) && path !== 'taskType')
      .map((parameter) => [parameter.path, parameter] as const),
  )('%s is required', (path, parameter) => {
    for (const absent of [undefined, null]) {
      const [error, ...others] = faults(fieldsWith(parameter, absent));
      expect(error).toMatchObject({
        code: expect.stringMatching(/^missing/),
        parameter: path,
        documentation: `${page.source}#${parameter.anchor}`,
      });
      expect(others).toEqual([]);
    }
  });

  it('has every anchor that an error names, for extensions and older spellings too', () => {
    const listed = new Set(page.request.map(({ anchor }) => `${page.source}#${anchor}`));
    const older = { referenceImages: 3, seedImage: 3, maskImage: 3, checkNSFW: 3, fbcache: 3 };
    const nested = Object.entries(imageInference.schema.properties).flatMap(([name, schema]) => {
      const inner = schema.type === 'array' ? schema.items : schema;
      if (!('properties' in inner)) return [];
      const wrong = Object.fromEntries(Object.keys(inner.properties).map((key) => [key, [[]]]));
      return [{ [name]: schema.type === 'array' ? [wrong] : wrong }];
    });
    const { taskType: _, ...others } = imageInference.schema.properties;
    const top = Object.keys(others).map((name) => ({ [name]: [[]] }));
    const found = [older, ...nested, ...top, { unknown: 1 }].flatMap(faults);
    const at = new Map(found.map(({ parameter, documentation }) => [String(parameter), documentation]));
    const anchored = [...at.values()].filter((address) => address !== page.source);
    expect(anchored.filter((address) => !listed.has(address!))).toEqual([]);
    // Every parameter that the page lists is led to, except those that no type of value makes wrong here.
    for (const parameter of page.request)
      if (at.has(parameter.path)) expect(at.get(parameter.path)).toBe(`${page.source}#${parameter.anchor}`);
    expect(at.get('referenceImages')).toBe(`${page.source}#request-inputs-referenceimages`);
    for (const name of [...departures.unlisted, 'inputs', 'maskImage', 'unknown'])
      expect(at.get(name), name).toBe(page.source);
  });

  it('draws the listed dimensions and no others', () => {
    const sizes = page.dimensions.map((name) => name.split('x').map(Number) as [number, number]);
    expect(sizes).toHaveLength(17);
    for (const [width, height] of sizes) {
      expect(faults({ width, height })).toEqual([]);
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
        [16, 0],
      ] as const) {
        expect(faults({ width: width + dx, height: height + dy })).toMatchObject([
          {
            code: 'unsupportedDimensions',
            parameter: ['width', 'height'],
            allowedValues: page.dimensions,
            documentation: `${page.source}#request-width`,
          },
        ]);
      }
    }
    for (const size of [0, -1024, 512, 2 ** 31, 2 ** 53]) {
      expect(faults({ width: size, height: size })[0]?.code).toMatch(/unsupportedDimensions|invalidWidth/);
    }
  });

  it('pairs width with height', () => {
    expect(faults({ width: 1024 })).toMatchObject([{ code: 'missingHeight', parameter: 'height' }]);
    expect(faults({ height: 1024, width: null })).toMatchObject([
      { code: 'missingWidth', parameter: 'width' },
    ]);
  });
});

describe('a result', () => {
  it('has the parameters of the page, of its types', () => {
    const properties: Record<string, { type: string; required?: true }> = imageInference.result.properties;
    // A failed upload is reported with the picture; the page has no field for it.
    expect(Object.keys(properties)).toEqual([...page.response.map(({ path }) => path), 'uploadError']);
    for (const { path, type, required } of page.response) {
      expect(properties[path]?.type === 'long' ? 'integer' : properties[path]?.type, path).toBe(type);
      // Deployed clients need a seed in every result.
      expect(properties[path]?.required, path).toBe(path === 'seed' ? true : required);
    }
  });
});

describe('the window of a cache', () => {
  const codes = (options: object, steps: number | null = 20) =>
    faults({ steps, acceleratorOptions: options }).map(({ code, parameter }) => [code, parameter]);
  const together = (...names: string[]) => [
    ['incompatibleParameters', names.map((name) => `acceleratorOptions.${name}`)],
  ];

  it.each([
    [{ cacheStartStep: 0, cacheEndStep: 1 }],
    [{ cacheStartStep: 19, cacheEndStep: 20 }],
    [{ cacheStartStepPercentage: 0, cacheEndStepPercentage: 1 }],
    [{ cacheStartStepPercentage: 99, cacheEndStepPercentage: 100 }],
    [{ cacheStartStep: 5, cacheEndStepPercentage: 30 }],
    [{ cacheStartStepPercentage: 20, cacheEndStep: 5 }],
    [{ cacheEndStep: 20 }],
    [{ cacheStartStep: 19 }],
  ])('may be %j of 20 steps', (options) => {
    expect(codes(options)).toEqual([]);
  });

  it.each<[options: object, ...names: string[]]>([
    [{ cacheStartStep: 5, cacheEndStep: 5 }, 'cacheStartStep', 'cacheEndStep'],
    [{ cacheStartStep: 6, cacheEndStep: 5 }, 'cacheStartStep', 'cacheEndStep'],
    [
      { cacheStartStepPercentage: 50, cacheEndStepPercentage: 50 },
      'cacheStartStepPercentage',
      'cacheEndStepPercentage',
    ],
    [{ cacheStartStep: 6, cacheEndStepPercentage: 30 }, 'cacheStartStep', 'cacheEndStepPercentage'],
    [{ cacheStartStepPercentage: 25, cacheEndStep: 5 }, 'cacheStartStepPercentage', 'cacheEndStep'],
    [{ cacheStartStep: 1, cacheStartStepPercentage: 5 }, 'cacheStartStep', 'cacheStartStepPercentage'],
    [{ cacheEndStep: 20, cacheEndStepPercentage: 100 }, 'cacheEndStep', 'cacheEndStepPercentage'],
  ])('may not be %j', (options, ...names) => {
    expect(codes(options)).toEqual(together(...names));
  });

  it('may not begin where the steps end', () => {
    expect(codes({ cacheStartStep: 20 })).toEqual([
      ['incompatibleParameters', ['acceleratorOptions.cacheStartStep', 'steps']],
    ]);
  });

  it('ends at the last step at the latest', () => {
    expect(codes({ cacheEndStep: 21 })).toEqual([
      ['invalidAcceleratorOptionsCacheEndStep', 'acceleratorOptions.cacheEndStep'],
    ]);
    expect(codes({ cacheStartStep: 21 })).toEqual([
      ['invalidAcceleratorOptionsCacheStartStep', 'acceleratorOptions.cacheStartStep'],
    ]);
    expect(codes({ cacheEndStep: 50 }, null)).toEqual([]);
  });

  it('is not judged where one of its bounds is invalid alone', () => {
    expect(codes({ cacheStartStep: 5, cacheEndStep: 0 })).toHaveLength(1);
    expect(codes({ cacheStartStep: 5, cacheEndStep: 4 }, 0).map(([code]) => code)).toEqual([
      'invalidSteps',
      'incompatibleParameters',
    ]);
  });
});

describe('parameters that exclude each other', () => {
  const options = (...names: string[]) => ({
    acceleratorOptions: Object.fromEntries(names.map((name) => [name, true])),
  });

  it('one cache at a time', () => {
    for (const name of ['fbCache', 'teaCache', 'dbCache']) expect(faults(options(name))).toEqual([]);
    expect(faults(options('fbCache', 'teaCache'))).toMatchObject([
      {
        code: 'incompatibleParameters',
        parameter: ['acceleratorOptions.fbCache', 'acceleratorOptions.teaCache'],
      },
    ]);
    expect(faults(options('fbCache', 'teaCache', 'dbCache'))[0]?.parameter).toHaveLength(3);
    expect(faults({ acceleratorOptions: { fbCache: true, teaCache: false, dbCache: false } })).toEqual([]);
  });

  it('ttl comes with URLs only', () => {
    expect(faults({ ttl: 60 })).toEqual([]);
    expect(faults({ ttl: 60, outputType: 'URL' })).toEqual([]);
    for (const outputType of ['base64Data', 'dataURI']) {
      expect(faults({ ttl: 60, outputType })).toMatchObject([
        { code: 'incompatibleParameters', parameter: ['ttl', 'outputType'] },
      ]);
    }
    expect(faults({ ttl: 59, outputType: 'dataURI' })).toMatchObject([{ code: 'invalidTtl' }]);
  });

  it.each([
    [{}, 'none'],
    [{ checkContent: false }, 'none'],
    [{ checkContent: true }, 'fast'],
    [{ mode: 'fast' }, 'fast'],
    [{ checkContent: false, mode: 'fast' }, 'fast'],
    [{ checkContent: true, mode: 'none' }, 'none'],
  ] as const)('safety %j means %s: an explicit mode wins', (safety, mode) => {
    expect(safetyMode({ safety: { checkContent: false, mode: undefined, ...safety } })).toBe(mode);
  });
});

describe('the errors of a task', () => {
  it('are all in one answer', () => {
    const scalars = page.request.filter(
      ({ path, type }) =>
        !path.includes('.') && /string|integer|float|boolean/.test(type) && path !== 'taskType',
    );
    const wrong = Object.fromEntries(scalars.map(({ path }) => [path, {}]));
    const groups = {
      safety: { checkContent: 1, mode: 1 },
      ultralytics: { steps: 0, strength: 2 },
      lora: [{ weight: 5 }, { model: 'a:1@1', transformer: 'middle' }],
      inputs: { referenceImages: [5] },
      unheardOf: 1,
    };
    const found = faults({ ...wrong, ...groups }).map(({ parameter }) => parameter);
    expect(found.sort()).toEqual(
      [
        ...scalars.map(({ path }) => path),
        'safety.checkContent',
        'safety.mode',
        'ultralytics.steps',
        'ultralytics.strength',
        'lora.model',
        'lora.weight',
        'lora.transformer',
        'inputs.referenceImages',
        'unheardOf',
      ].sort(),
    );
  });
});

describe('seeds', () => {
  it.each(['9007199254740993', '9223372036854775807', '9223372036854775808', '0'])(
    '%s stays exact from the text of the request on',
    (digits) => {
      const body = `[${JSON.stringify(minimal).slice(0, -1)},"seed":${digits}}]`;
      const [parsed] = parseTasks(Buffer.from(body), { maxTasks: 1, explainMissingModel: () => undefined });
      expect(parsed).toMatchObject({ task: { seed: BigInt(digits) } });
    },
  );

  it.each(['-1', '9223372036854776001', '1.5', '1e400', '"1"', '1e30'])('%s is refused', (text) => {
    const body = `[${JSON.stringify(minimal).slice(0, -1)},"seed":${text}}]`;
    const [parsed] = parseTasks(Buffer.from(body), { maxTasks: 1, explainMissingModel: () => undefined });
    expect(parsed).toMatchObject({ failures: [{ status: 400, error: { code: 'invalidSeed' } }] });
  });
});
