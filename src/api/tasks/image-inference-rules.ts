/** Rules between parameters of imageInference; each applies only when its parameters are valid alone. */

import type { JsonSchema } from '../json-schema.ts';
import { hasSize, listedSizes, type Size, sizeName } from '../sizes.ts';
import type { Reader } from '../validate.ts';

type Bound = 'cacheStartStep' | 'cacheEndStep' | 'cacheStartStepPercentage' | 'cacheEndStepPercentage';
type Cache = 'fbCache' | 'teaCache' | 'dbCache';
type AcceleratorOptions = { [Name in Bound]?: number | undefined } & {
  [Name in Cache]?: boolean | undefined;
};

/** The fields of an ImageInferenceTask that the rules read. */
type Fields = {
  width?: number | undefined;
  height?: number | undefined;
  steps?: number | undefined;
  ttl?: number | undefined;
  outputType?: string | undefined;
  safety?: { checkContent?: boolean | undefined; mode?: 'none' | 'fast' | undefined } | undefined;
  acceleratorOptions?: AcceleratorOptions | undefined;
  inputs?: { referenceImages?: readonly unknown[] | undefined; maskImage?: unknown } | undefined;
};

export function checkTogether(task: Fields, reader: Reader, sizes: readonly Size[] = listedSizes): void {
  checkSize(task, sizes, reader);
  if (task.ttl !== undefined && task.outputType !== undefined && task.outputType !== 'URL') {
    const message = `'ttl' is ${task.ttl} and 'outputType' is '${task.outputType}'; only a URL ends, so leave 'ttl' out or ask for 'URL'.`;
    reader.report('incompatibleParameters', message, ['ttl'], { parameter: ['ttl', 'outputType'] });
  }
  if (task.inputs?.maskImage !== undefined && !task.inputs.referenceImages?.length) {
    const message =
      "Missing parameter 'inputs.referenceImages': 'inputs.maskImage' was given without it; a mask says where the first reference is edited.";
    reader.report('missingReferenceImages', message, ['inputs', 'referenceImages'], { type: 'array' });
  }
  if (!task.acceleratorOptions) return;
  checkCaches(task.acceleratorOptions, reader);
  checkWindow(task.acceleratorOptions, task.steps, reader);
}

/** Combines the two parameters of `safety`: an explicit mode wins over `checkContent`. */
export function safetyMode({ safety }: Fields): 'none' | 'fast' {
  return safety?.mode ?? (safety?.checkContent ? 'fast' : 'none');
}

function checkSize({ width, height }: Fields, sizes: readonly Size[], reader: Reader): void {
  if ((width === undefined && height === undefined) || reader.hasError('width', 'height')) return;
  if (width === undefined || height === undefined) {
    const [given, absent] = width === undefined ? ['height', 'width'] : ['width', 'height'];
    const message = `Missing parameter '${absent}': '${given}' was given without it; give both or neither.`;
    const code = width === undefined ? 'missingWidth' : 'missingHeight';
    reader.report(code, message, [absent!], { type: 'integer' });
    return;
  }
  if (hasSize(sizes, width, height)) return;
  const allowedValues = sizes.map(sizeName);
  const message = `Unsupported dimensions: found ${width}x${height}, expected one of ${allowedValues.join(', ')}.`;
  reader.report('unsupportedDimensions', message, ['width'], {
    parameter: ['width', 'height'],
    type: 'integer',
    allowedValues,
  });
}

/** All three replace the same blocks of the network. */
function checkCaches(options: AcceleratorOptions, reader: Reader): void {
  const on = (['fbCache', 'teaCache', 'dbCache'] as const).filter((name) => options[name]);
  if (on.length < 2) return;
  const names = on.map((name) => `acceleratorOptions.${name}`);
  const message = `${names.map((name) => `'${name}'`).join(' and ')} are on together; expected one cache at a time.`;
  reader.report('incompatibleParameters', message, ['acceleratorOptions'], { parameter: names });
}

/** start < end ≤ steps, where each bound is a step or a percentage of the steps and not both. */
function checkWindow(options: AcceleratorOptions, steps: number | undefined, reader: Reader): void {
  const exclude = (one: Bound, other: Bound) => {
    if (options[one] === undefined || options[other] === undefined) return;
    report(
      reader,
      [one, other],
      `${say(options, one)} and ${say(options, other)}; a bound is given in one of the two ways.`,
    );
  };
  const order = (start: Bound, end: Bound, scale: number) => {
    const [from, to] = [options[start], options[end]];
    if (from === undefined || to === undefined || from < to * scale) return;
    const of = scale === 1 ? '' : ` of ${steps} steps`;
    report(
      reader,
      [start, end],
      `${say(options, start)} and ${say(options, end)}${of}; the start must be less than the end.`,
    );
  };
  exclude('cacheStartStep', 'cacheStartStepPercentage');
  exclude('cacheEndStep', 'cacheEndStepPercentage');
  order('cacheStartStep', 'cacheEndStep', 1);
  order('cacheStartStepPercentage', 'cacheEndStepPercentage', 1);
  // Without 'steps' the number of steps is the model's, so a step cannot be compared with a percentage here.
  if (steps === undefined) return;
  order('cacheStartStep', 'cacheEndStepPercentage', steps / 100);
  order('cacheStartStepPercentage', 'cacheEndStep', 100 / steps);
  if (options.cacheStartStep === steps && !options.cacheEndStep && !options.cacheEndStepPercentage) {
    const message = `${say(options, 'cacheStartStep')} and 'steps' is ${steps}, where the window ends; the start must be less than the end.`;
    const parameter = ['acceleratorOptions.cacheStartStep', 'steps'];
    reader.report('incompatibleParameters', message, ['acceleratorOptions'], { parameter });
  }
  for (const name of ['cacheStartStep', 'cacheEndStep'] as const) {
    const step = options[name];
    if (step === undefined || step <= steps) continue;
    const code = name === 'cacheStartStep' ? 'CacheStartStep' : 'CacheEndStep';
    const message = `${say(options, name)} and 'steps' is ${steps}; it must not be more.`;
    reader.report(`invalidAcceleratorOptions${code}`, message, ['acceleratorOptions', name], {
      type: 'integer',
      max: steps,
    });
  }
}

function say(options: AcceleratorOptions, name: Bound): string {
  return `'acceleratorOptions.${name}' is ${options[name]}`;
}

function report(reader: Reader, names: Bound[], message: string): void {
  const parameter = names.map((name) => `acceleratorOptions.${name}`);
  reader.report('incompatibleParameters', message, ['acceleratorOptions'], { parameter });
}

/** The rules above in JSON Schema, except the order of a window's bounds, which JSON Schema cannot express. */
export function constraintsFor(sizes: readonly Size[]): JsonSchema[] {
  const exclusive = [
    ['cacheStartStep', 'cacheStartStepPercentage'],
    ['cacheEndStep', 'cacheEndStepPercentage'],
  ].map((required) => ({ not: { required } }));
  const alone = [
    ['fbCache', 'teaCache'],
    ['fbCache', 'dbCache'],
    ['teaCache', 'dbCache'],
  ].map((required) => ({
    not: { required, properties: Object.fromEntries(required.map((name) => [name, { const: true }])) },
  }));
  const pairs = sizes.map(([width, height]) => ({
    properties: { width: { const: width }, height: { const: height } },
  }));
  return [
    { dependentRequired: { width: ['height'], height: ['width'] } },
    { anyOf: pairs },
    { anyOf: [{ not: { required: ['ttl'] } }, { properties: { outputType: { const: 'URL' } } }] },
    { properties: { inputs: { dependentRequired: { maskImage: ['referenceImages'] } } } },
    { properties: { acceleratorOptions: { allOf: [...exclusive, ...alone] } } },
  ];
}
