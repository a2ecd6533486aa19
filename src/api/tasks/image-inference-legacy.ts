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

/** Parameters of other models at a value that asks for nothing; every other value stays and is unknown. */
const withoutEffect: Readonly<Record<string, (value: unknown) => boolean>> = {
  acceleration: (value) => value === 'none',
  clipSkip: (value) => value === 0,
  controlNet: isEmptyList,
  embeddings: isEmptyList,
  lycoris: isEmptyList,
  refiner: () => false,
  seedImage: (value) => value === '',
  maskImage: (value) => value === '',
  // Of a seed image, which there is none: all of the noise.
  strength: (value) => value === 1,
  useCache: (value) => value === false,
  vae: (value) => value === '',
  'acceleratorOptions.deepCache': (value) => value === false,
  'safety.checkInputs': (value) => value === false,
  'safety.tolerance': (value) => value === false,
  // The side to which a face is scaled; here the model's sizes decide it.
  'ultralytics.inpaintSize': (value) => Number.isInteger(value) && (value as number) > 0,
};

/** A copy of the task with new names. Of two spellings that differ the newer stays, and both are in `clashes`. */
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
    // A folder that is no object is the reader's to report.
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
  // For images the hosted service's two modes are one.
  if (read(task, 'safety.mode') === 'full') write(task, 'safety.mode', 'fast');
  return { task, spelling, clashes };
}

/** `guideImage`, of each adapter, is the list of one. */
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

/** Some clients wrap a reference into an object, beside fields that they leave empty. */
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

/** Of scalars and lists of them; objects are never the same. */
function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((value, index) => isSame(value, b[index]));
  return a === b;
}

function modernFormat(format: string): string {
  const upper = format.toUpperCase();
  return upper === 'JPEG' ? 'JPG' : upper;
}
