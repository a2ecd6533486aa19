/** Older spellings that real clients still send, brought to the names of the model page. */

import type { Renamed, WireObject } from '../task-type.ts';

/** Old place → new place. */
const moved: readonly (readonly [from: string, to: string])[] = [
  ['referenceImages', 'inputs.referenceImages'],
  ['seedImage', 'inputs.seedImage'],
  ['maskImage', 'inputs.maskImage'],
  ['checkNSFW', 'safety.checkContent'],
  ['fbcache', 'acceleratorOptions.fbCache'],
  ['acceleratorOptions.fbcache', 'acceleratorOptions.fbCache'],
];

/** A copy of the task with new names, and for each how the client wrote it. Clashes stay where they are: unknown. */
export function renameLegacy(task: WireObject): Renamed {
  const copy = { ...task };
  const spelling = new Map<string, string>();
  for (const [from, to] of moved) {
    if (move(copy, from, to)) spelling.set(to, from);
  }
  if (typeof copy.outputFormat === 'string') copy.outputFormat = modernFormat(copy.outputFormat);
  const type = copy.outputType;
  if (Array.isArray(type) && type.length === 1) copy.outputType = type[0];
  return { task: copy, spelling };
}

function move(task: WireObject, from: string, to: string): boolean {
  const [oldFolder, oldName] = split(from);
  const [newFolder, newName] = split(to);
  const source = oldFolder === undefined ? task : task[oldFolder];
  if (!isObject(source) || !Object.hasOwn(source, oldName)) return false;
  const target = newFolder === undefined ? task : (task[newFolder] ?? {});
  if (!isObject(target) || Object.hasOwn(target, newName)) return false;
  const { [oldName]: value, ...rest } = source;
  if (oldFolder === undefined) delete task[oldName];
  else task[oldFolder] = rest;
  const folder = oldFolder === newFolder ? rest : target;
  if (newFolder !== undefined) task[newFolder] = { ...folder, [newName]: value };
  return true;
}

function split(path: string): [folder: string | undefined, name: string] {
  const dot = path.indexOf('.');
  return dot < 0 ? [undefined, path] : [path.slice(0, dot), path.slice(dot + 1)];
}

function isObject(value: unknown): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function modernFormat(format: string): string {
  const upper = format.toUpperCase();
  return upper === 'JPEG' ? 'JPG' : upper;
}
