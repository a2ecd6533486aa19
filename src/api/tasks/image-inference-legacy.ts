/**
 * Older spellings that clients still send (the SDKs for JavaScript and Python, ComfyUI's nodes, applications after older
 * documentation), brought to the names of the model page. docs/reference/image-inference.md lists them.
 */

import type { Renamed, WireObject } from '../task-type.ts';

/** Old place → new place. */
const moved: readonly (readonly [from: string, to: string])[] = [
  ['referenceImages', 'inputs.referenceImages'],
  ['inputs.references', 'inputs.referenceImages'],
  ['seedImage', 'inputs.seedImage'],
  ['maskImage', 'inputs.maskImage'],
  ['checkNSFW', 'safety.checkContent'],
  ['fbcache', 'acceleratorOptions.fbCache'],
  ['acceleratorOptions.fbcache', 'acceleratorOptions.fbCache'],
  ['acceleratorOptions.cacheDistance', 'acceleratorOptions.fbCacheThreshold'],
  ['acceleratorOptions.cacheStopStep', 'acceleratorOptions.cacheEndStep'],
  ['acceleratorOptions.cacheStopStepPercentage', 'acceleratorOptions.cacheEndStepPercentage'],
];

/** Parameters of other models, dropped at a value without effect. With another value they are unknown parameters. */
const withoutEffect: Readonly<Record<string, (value: unknown) => boolean>> = {
  acceleration: (value) => value === 'none',
  clipSkip: (value) => value === 0,
  controlNet: isEmptyList,
  embeddings: isEmptyList,
  lycoris: isEmptyList,
  refiner: () => false,
  seedImage: (value) => value === '',
  maskImage: (value) => value === '',
  // `strength` applies to a seed image, which this model does not have; 1 is full noise.
  strength: (value) => value === 1,
  useCache: (value) => value === false,
  vae: (value) => value === '',
  'acceleratorOptions.deepCache': (value) => value === false,
  'safety.checkInputs': (value) => value === false,
  'safety.tolerance': (value) => value === false,
  // The side to which a face is scaled; here the model's sizes decide it.
  'ultralytics.inpaintSize': (value) => Number.isInteger(value) && (value as number) > 0,
};

/** A copy of the task with new names. When two spellings have different values the newer stays, and `clashes` lists both. */
export function renameLegacy(wire: WireObject): Renamed {
  const task = { ...wire };
  for (const folder of ['inputs', 'safety', 'acceleratorOptions', 'ultralytics'])
    if (isObject(task[folder])) task[folder] = { ...task[folder] };
  const spelling = new Map<string, string>();
  const clashes: [older: string, newer: string][] = [];
  for (const [name, asksNothing] of Object.entries(withoutEffect)) {
    const value = read(task, name);
    if (value === null || asksNothing(value)) remove(task, name);
  }
  for (const name of ['referenceImages', 'inputs.references', 'inputs.referenceImages']) {
    const list = read(task, name);
    if (Array.isArray(list)) write(task, name, list.map(plainImage));
  }
  for (const [from, to] of moved) {
    const old = read(task, from);
    if (old === undefined) continue;
    const place = split(to)[0];
    // Validation reports a parent that is not an object.
    if (place !== undefined && !isObject(task[place] ?? {})) continue;
    const current = read(task, to);
    if (isAbsent(old) || isSame(old, current)) remove(task, from);
    else if (isAbsent(current)) {
      remove(task, from);
      write(task, to, old);
      spelling.set(to, from);
    } else {
      remove(task, from);
      clashes.push([from, to]);
    }
  }
  renameGuides(task, spelling, clashes);
  if (typeof task.outputFormat === 'string') task.outputFormat = modernFormat(task.outputFormat);
  const type = task.outputType;
  if (Array.isArray(type) && type.length === 1) task.outputType = type[0];
  // For images, both modes of the hosted service do the same.
  if (read(task, 'safety.mode') === 'full') write(task, 'safety.mode', 'fast');
  return { task, spelling, clashes };
}

/** Each adapter's `guideImage` becomes `guideImages` with one element. */
function renameGuides(
  task: WireObject,
  spelling: Map<string, string>,
  clashes: [older: string, newer: string][],
): void {
  if (!Array.isArray(task.ipAdapters)) return;
  task.ipAdapters = task.ipAdapters.map((adapter, index) => {
    if (!isObject(adapter) || !Object.hasOwn(adapter, 'guideImage')) return adapter;
    const { guideImage, ...rest } = adapter;
    if (isAbsent(guideImage) || isSame([guideImage], rest.guideImages)) return rest;
    const [older, newer] = [`ipAdapters[${index}].guideImage`, `ipAdapters[${index}].guideImages`];
    if (!isAbsent(rest.guideImages)) {
      clashes.push([older, newer]);
      return rest;
    }
    spelling.set(newer, older).set('ipAdapters.guideImages', 'ipAdapters.guideImage');
    return { ...rest, guideImages: [guideImage] };
  });
}

/** Some clients wrap a reference in an object with further, empty fields. */
function plainImage(reference: unknown): unknown {
  if (!isObject(reference) || typeof reference.image !== 'string') return reference;
  const { image, ...rest } = reference;
  return Object.values(rest).every((value) => value === null) ? image : reference;
}

function read(task: WireObject, path: string): unknown {
  const [folder, name] = split(path);
  const holder = folder === undefined ? task : task[folder];
  return isObject(holder) && Object.hasOwn(holder, name) ? holder[name] : undefined;
}

function write(task: WireObject, path: string, value: unknown): void {
  const [folder, name] = split(path);
  if (folder === undefined) task[name] = value;
  else task[folder] = { ...(task[folder] as WireObject | undefined), [name]: value };
}

function remove(task: WireObject, path: string): void {
  const [folder, name] = split(path);
  const holder = folder === undefined ? task : task[folder];
  if (isObject(holder)) delete holder[name];
}

function split(path: string): [folder: string | undefined, name: string] {
  const dot = path.indexOf('.');
  return dot < 0 ? [undefined, path] : [path.slice(0, dot), path.slice(dot + 1)];
}

function isObject(value: unknown): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || isEmptyList(value);
}

/** Equality of scalars and of lists of scalars; objects never compare equal. */
function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((value, index) => isSame(value, b[index]));
  return a === b;
}

function modernFormat(format: string): string {
  const upper = format.toUpperCase();
  return upper === 'JPEG' ? 'JPG' : upper;
}
