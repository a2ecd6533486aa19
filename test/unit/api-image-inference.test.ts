import { describe, expect, it } from 'vitest';
import type { ErrorObject } from '../../src/api/errors.ts';
import { stringifyJson } from '../../src/api/json.ts';
import { parseTasks } from '../../src/api/parse.ts';
import { schedulerNames } from '../../src/api/schedulers.ts';
import { listedSizes } from '../../src/api/sizes.ts';
import type { ImageInferenceTask } from '../../src/api/tasks/image-inference.ts';

const minimal = {
  taskType: 'imageInference',
  taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
  model: 'retouch:mini@1',
  positivePrompt: 'make the sky pink',
};

function parse(fields: object): ImageInferenceTask | ErrorObject[] {
  const context = {
    maxTasks: 10,
    explainMissingModel: (air: string) =>
      air === minimal.model ? undefined : `The model '${air}' is not installed.`,
  };
  const [parsed] = parseTasks(Buffer.from(stringifyJson([{ ...minimal, ...fields }])), context);
  if (!parsed) throw new Error('No task was parsed.');
  return 'task' in parsed ? (parsed.task as ImageInferenceTask) : parsed.failures.map(({ error }) => error);
}

function accept(fields: object): ImageInferenceTask {
  const parsed = parse(fields);
  if (Array.isArray(parsed)) throw new Error(parsed.map(({ message }) => message).join('\n'));
  return parsed;
}

function codesOf(fields: object): string[] {
  const parsed = parse(fields);
  return Array.isArray(parsed) ? parsed.map(({ code }) => code) : [];
}

/** `{ a: { b: value } }` for `a.b`, and a list of one for a name that ends in `[]`. */
function nest(path: string, value: unknown): object {
  return path.split('.').reduceRight<unknown>((inner, name) => {
    return name.endsWith('[]') ? { [name.slice(0, -2)]: [inner] } : { [name]: inner };
  }, value) as object;
}

describe('a minimal task', () => {
  it('gets the defaults of the model page', () => {
    expect(accept({})).toMatchObject({
      outputType: 'URL',
      outputFormat: 'JPG',
      outputQuality: 95,
      deliveryMethod: 'sync',
      numberResults: 1,
      includeCost: false,
      scheduler: 'Default',
      seed: undefined,
      width: undefined,
    });
  });

  it.each(['taskUUID', 'model', 'positivePrompt'])('needs %s', (name) => {
    const code = `missing${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    expect(codesOf({ [name]: undefined })).toEqual([code]);
    expect(codesOf({ [name]: null })).toEqual([code]);
  });

  it('takes null for an optional parameter as not given', () => {
    expect(
      accept({ width: null, height: null, seed: null, inputs: null, numberResults: null }).numberResults,
    ).toBe(1);
  });
});

describe('numbers', () => {
  const max = 9223372036854776000n;
  it.each<[path: string, valid: unknown[], invalid: unknown[]]>([
    ['outputQuality', [20, 99], [19, 100, 50.5, '95', true]],
    ['numberResults', [1, 20], [0, 21, -1, 1.5]],
    ['seed', [0, 1, 2 ** 32, 9223372036854775807n, max], [-1, max + 1n, 0.5, '7', 10n ** 30n]],
    ['steps', [1, 50], [0, 51, 7.5, 10n ** 20n]],
    ['CFGScale', [0, 0.01, 2.5, 2.51, 19.99, 20], [-0.01, 20.01, 2.505, '2.5']],
    ['trueCFGScale', [-1, 0, 4.123456, 1000], ['1', true]],
  ])('%s is taken inside its bounds and refused outside', (path, valid, invalid) => {
    for (const value of valid) expect(codesOf(nest(path, value)), String(value)).toEqual([]);
    const code = `invalid${path.charAt(0).toUpperCase()}${path.slice(1)}`;
    for (const value of invalid) expect(codesOf(nest(path, value)), String(value)).toEqual([code]);
  });

  it('takes features that are asked to stay off', () => {
    const off = { safety: { checkContent: false, mode: 'none' }, includeCost: false, checkNSFW: undefined };
    accept({ ...off, acceleratorOptions: { fbCache: false, teaCache: false, dbCache: false } });
  });
});

describe('texts', () => {
  it('counts a prompt in characters, not in UTF-16 units', () => {
    accept({ positivePrompt: '🎨'.repeat(3000), negativePrompt: '🎨🎨' });
    expect(codesOf({ positivePrompt: '🎨' })).toEqual(['invalidPositivePromptLength']);
    expect(codesOf({ positivePrompt: 'a'.repeat(3001) })).toEqual(['invalidPositivePromptLength']);
    expect(codesOf({ negativePrompt: 'a' })).toEqual(['invalidNegativePromptLength']);
  });

  it.each([
    ['version 4', '50836053-a0ee-4cf5-b9d6-ae7c5d140ada'],
    ['version 7', '019c42a0-c3ff-7138-be83-ee257abc5331'],
    ['capitals', '50836053-A0EE-4CF5-B9D6-AE7C5D140ADA'],
  ])('takes a taskUUID of %s', (_, taskUUID) => {
    expect(accept({ taskUUID }).taskUUID).toBe(taskUUID);
  });

  it.each(['', 'task-1', '50836053a0ee4cf5b9d6ae7c5d140ada', 5])('refuses the taskUUID %j', (taskUUID) => {
    expect(codesOf({ taskUUID })).toEqual(['invalidTaskUUID']);
  });

  it('takes every scheduler of the page', () => {
    expect(schedulerNames).toHaveLength(76);
    for (const name of schedulerNames) expect(codesOf({ scheduler: name }), name).toEqual([]);
    expect(parse({ scheduler: 'Eular' })).toMatchObject([
      {
        code: 'invalidScheduler',
        allowedValues: schedulerNames,
        message: expect.stringContaining("'Euler'"),
      },
    ]);
  });

  it.each([
    ['outputType', ['URL', 'base64Data', 'dataURI'], 'url'],
    ['outputFormat', ['JPG', 'PNG', 'WEBP'], 'TIFF'],
  ])('%s has the values of the page', (name, values, wrong) => {
    for (const value of values) accept({ [name]: value });
    const code = `invalid${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    expect(parse({ [name]: wrong })).toMatchObject([{ code, allowedValues: values }]);
  });
});

describe('width and height', () => {
  it('are any of the 17 pairs', () => {
    expect(listedSizes).toHaveLength(17);
    for (const [width, height] of listedSizes) accept({ width, height });
  });

  it('are refused together when their pair is not listed', () => {
    expect(parse({ width: 512, height: 512 })).toMatchObject([
      {
        code: 'unsupportedDimensions',
        parameter: ['width', 'height'],
        allowedValues: expect.arrayContaining(['1568x672']),
        documentation: 'https://runware.ai/docs/models/flux-1-kontext-dev#request-width',
      },
    ]);
  });

  it('are one of the model, where it has sizes of its own', () => {
    const sizesOf = (): [number, number][] => [[512, 384]];
    const errorsOf = (width: number, height: number) => {
      const wire = { ...minimal, width, height };
      const [parsed] = parseTasks(Buffer.from(stringifyJson([wire])), {
        maxTasks: 1,
        explainMissingModel: () => undefined,
        sizesOf,
      });
      return 'failures' in parsed! ? parsed.failures.map(({ error }) => error) : [];
    };
    expect(errorsOf(512, 384)).toEqual([]);
    expect(errorsOf(1024, 1024)).toMatchObject([
      { code: 'unsupportedDimensions', allowedValues: ['512x384'] },
    ]);
  });

  it('come together or not at all', () => {
    expect(codesOf({ width: 1024 })).toEqual(['missingHeight']);
    expect(codesOf({ height: 1024 })).toEqual(['missingWidth']);
  });

  it('are judged as a pair only when each is an integer', () => {
    expect(codesOf({ width: '1024', height: 1024 })).toEqual(['invalidWidth']);
    expect(codesOf({ width: 1024.5, height: 'x' })).toEqual(['invalidWidth', 'invalidHeight']);
  });
});

describe('errors', () => {
  it('are all in one answer, each with what was found, what was expected and whose it is', () => {
    const errors = parse({ steps: 0, outputQuality: 'high', model: 'no:such@1', promt: 'x' });
    expect(errors).toMatchObject([
      { code: 'unknownParameter', parameter: 'promt' },
      { code: 'invalidOutputQuality', type: 'integer', min: 20, max: 99, default: 95 },
      {
        code: 'invalidSteps',
        parameter: 'steps',
        message: "Invalid value for 'steps': found 0, expected an integer from 1 to 50.",
        documentation: 'https://runware.ai/docs/models/flux-1-kontext-dev#request-steps',
      },
      { code: 'modelNotFound', parameter: 'model' },
    ]);
    for (const error of errors as ErrorObject[]) {
      expect(error).toMatchObject({ taskType: 'imageInference', taskUUID: minimal.taskUUID });
    }
  });

  it('name the nearest parameter of an unknown one', () => {
    expect(parse({ possitivePrompt: 'x' })).toMatchObject([
      { message: expect.stringContaining("'positivePrompt'") },
    ]);
    expect(parse({ inputs: { referenceImage: 'x' } })).toMatchObject([
      { parameter: 'inputs.referenceImage', message: expect.stringContaining("'referenceImages'") },
    ]);
  });

  it('are at most 50 for one task', () => {
    const unknown = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`x${index}`, 1]));
    expect(codesOf(unknown)).toHaveLength(50);
  });

  it('treat the names of prototypes as unknown', () => {
    const body = `[{"__proto__":{"a":1},"constructor":1,"toString":2,${JSON.stringify(minimal).slice(1)}]`;
    const [parsed] = parseTasks(Buffer.from(body), { maxTasks: 1, explainMissingModel: () => undefined });
    const failures = parsed && 'failures' in parsed ? parsed.failures : [];
    expect(failures.map(({ error }) => error.parameter)).toEqual(['__proto__', 'constructor', 'toString']);
  });
});

describe('references', () => {
  it('are at most four strings', () => {
    accept({ inputs: { referenceImages: [] } });
    accept({ inputs: { referenceImages: ['a', 'b', 'c', 'd'] } });
    expect(codesOf({ inputs: { referenceImages: Array(5).fill('a') } })).toEqual([
      'invalidReferenceImagesCount',
    ]);
    expect(codesOf({ inputs: { referenceImages: Array(100_000).fill(5) } })).toEqual([
      'invalidReferenceImagesCount',
    ]);
    expect(codesOf({ inputs: { referenceImages: 'a' } })).toEqual(['invalidReferenceImages']);
    expect(codesOf({ inputs: { referenceImages: [5] } })).toEqual(['invalidReferenceImages']);
  });
});

describe('legacy spellings', () => {
  it('top-level referenceImages are inputs.referenceImages', () => {
    expect(accept({ referenceImages: ['a'] }).inputs?.referenceImages).toEqual(['a']);
    expect(parse({ referenceImages: 5 })).toMatchObject([
      { code: 'invalidReferenceImages', parameter: 'referenceImages' },
    ]);
  });

  // Recorded from the Python SDKs 0.4.33 and 0.5.24.
  it.each([
    ['an empty list beside', { inputs: { references: [], referenceImages: ['a'] }, referenceImages: [] }],
    ['the older one alone', { inputs: { references: ['a'] } }],
    ['an object per image', { inputs: { references: ['a'], referenceImages: [{ image: 'a', tag: null }] } }],
    ['both with the same content', { inputs: { references: ['a'], referenceImages: ['a'] } }],
    ['at both levels with the same content', { referenceImages: ['a'], inputs: { referenceImages: ['a'] } }],
    ['null for one', { referenceImages: ['a'], inputs: { referenceImages: null } }],
  ])('references are referenceImages: %s', (_, task) => {
    expect(accept(task).inputs).toEqual({
      referenceImages: ['a'],
      seedImage: undefined,
      maskImage: undefined,
    });
  });

  it.each([
    [
      'referenceImages',
      'inputs.referenceImages',
      { referenceImages: ['a'], inputs: { referenceImages: ['b'] } },
    ],
    [
      'inputs.references',
      'inputs.referenceImages',
      { inputs: { references: ['a'], referenceImages: ['b'] } },
    ],
    [
      'acceleratorOptions.cacheStopStep',
      'acceleratorOptions.cacheEndStep',
      { acceleratorOptions: { fbCache: true, cacheStopStep: 4, cacheEndStep: 5 } },
    ],
    ['checkNSFW', 'safety.checkContent', { checkNSFW: true, safety: { checkContent: false } }],
    [
      'ipAdapters[0].guideImage',
      'ipAdapters[0].guideImages',
      { ipAdapters: [{ model: 'a:1@1', guideImage: 'a', guideImages: ['b'] }] },
    ],
  ])('%s and %s that differ are an error that names both', (older, newer, task) => {
    expect(parse(task)).toMatchObject([
      {
        code: 'incompatibleParameters',
        parameter: [older, newer],
        message: `'${older}' is an older spelling of '${newer}', and the two differ; expected one of them.`,
      },
    ]);
  });

  it('guideImage is a list of one', () => {
    const adapter = { model: 'a:1@1', guideImage: 'a' };
    expect(accept({ ipAdapters: [adapter] }).ipAdapters![0]!.guideImages).toEqual(['a']);
    const both = { ...adapter, guideImages: ['a'] };
    expect(accept({ ipAdapters: [both] }).ipAdapters![0]!.guideImages).toEqual(['a']);
    expect(parse({ ipAdapters: [{ ...adapter, guideImage: 5 }] })).toMatchObject([
      { code: 'invalidIpAdaptersGuideImages', parameter: 'ipAdapters.guideImage' },
    ]);
  });

  it("a task of ComfyUI's nodes, with all that they send, is understood", () => {
    const wire = {
      ...{
        deliveryMethod: 'async',
        outputType: 'URL',
        outputFormat: 'WEBP',
        outputQuality: 95,
        includeCost: true,
      },
      ...{ CFGScale: 6.5, scheduler: 'Default', numberResults: 1, width: 1024, height: 1024, steps: 4 },
      ...{ clipSkip: 0, seed: 7, referenceImages: ['a'] },
      ipAdapters: [{ model: 'a:1@1', guideImage: 'b', weight: 0.75 }],
      acceleratorOptions: { fbcache: true, cacheDistance: 0.5, cacheStartStep: 0, cacheStopStep: 4 },
      safety: { checkContent: true, checkInputs: false, mode: 'full' },
      ultralytics: {
        inpaintSize: 512,
        confidence: 0.5,
        maskBlur: 4,
        maskPadding: 4,
        steps: 20,
        CFGScale: 8,
        strength: 0.3,
      },
    };
    expect(accept(wire)).toMatchObject({
      inputs: { referenceImages: ['a'] },
      ipAdapters: [{ guideImages: ['b'] }],
      acceleratorOptions: { fbCache: true, fbCacheThreshold: 0.5, cacheEndStep: 4 },
      safety: { mode: 'fast' },
      ultralytics: { confidence: 0.5 },
    });
  });

  it('cacheStopStep is cacheEndStep, and cacheDistance fbCacheThreshold', () => {
    const options = { fbcache: true, cacheStartStep: 1, cacheStopStep: 6, cacheDistance: 0.4 };
    expect(accept({ acceleratorOptions: options }).acceleratorOptions).toMatchObject({
      fbCache: true,
      cacheEndStep: 6,
      fbCacheThreshold: 0.4,
    });
  });

  it('safety.mode full is fast', () => {
    expect(accept({ safety: { mode: 'full', checkInputs: false, tolerance: false } }).safety).toMatchObject({
      mode: 'fast',
    });
  });

  it('parameters of other models that ask for nothing are left out', () => {
    const nothing = {
      ...{ acceleration: 'none', clipSkip: 0, useCache: false, strength: 1, vae: '', refiner: null },
      ...{ controlNet: [], lycoris: [], embeddings: [], seedImage: '', maskImage: null, lora: [] },
      acceleratorOptions: { deepCache: false, teaCache: false },
      ultralytics: { inpaintSize: 1024 },
    };
    expect(accept(nothing)).not.toHaveProperty('clipSkip');
    expect(codesOf({ clipSkip: 2, useCache: true, strength: 0.5 })).toEqual([
      'unknownParameter',
      'unknownParameter',
      'unknownParameter',
    ]);
  });

  it.each([
    ['fbcache', { fbcache: true }],
    ['acceleratorOptions.fbcache', { acceleratorOptions: { fbcache: true } }],
  ])('%s is understood', (_, task) => {
    expect(accept(task).acceleratorOptions).toMatchObject({ fbCache: true });
  });

  it('checkNSFW is safety.checkContent', () => {
    expect(accept({ checkNSFW: true })).toMatchObject({ safety: { checkContent: true } });
    expect(accept({ checkNSFW: false })).toMatchObject({ safety: { checkContent: false } });
  });

  it('seedImage is known, though not supported', () => {
    expect(codesOf({ seedImage: 'a' })).toEqual(['unsupportedParameter']);
  });

  it('maskImage is inputs.maskImage, and needs a reference', () => {
    expect(accept({ maskImage: 'm', referenceImages: ['a'] }).inputs).toMatchObject({ maskImage: 'm' });
    expect(codesOf({ maskImage: 'm' })).toEqual(['missingReferenceImages']);
    expect(codesOf({ inputs: { maskImage: 'm', referenceImages: [] } })).toEqual(['missingReferenceImages']);
  });

  it('outputFormat in any case and JPEG, outputType as a list of one', () => {
    expect(accept({ outputFormat: 'jpeg' }).outputFormat).toBe('JPG');
    expect(accept({ outputFormat: 'webp' }).outputFormat).toBe('WEBP');
    expect(accept({ outputType: ['dataURI'] }).outputType).toBe('dataURI');
    expect(codesOf({ outputType: ['URL', 'dataURI'] })).toEqual(['invalidOutputType']);
  });
});
