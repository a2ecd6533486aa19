/** Form values → request. A parameter at its default is left out. */

import type { Task } from '../server/wire.ts';
import type { Field } from './fields.ts';

/** By path; a list has an array of values by name, a switch of a whole object is under its own name. */
export type Values = { readonly [path: string]: unknown };

export type Asked = {
  model: string;
  prompt: string;
  /** UUIDs, URLs or placeholders of the reference pictures. */
  references: readonly string[];
  values: Values;
};

/** `ultralytics: {}` is significant: it enables the faces with every default. */
const switched: readonly string[] = ['ultralytics'];

/** Without taskUUID, which is new for every sending. */
export function buildRequest(fields: readonly Field[], { model, prompt, references, values }: Asked): Task {
  const request: Task = { taskType: 'imageInference', model, positivePrompt: prompt.trim() || '__BLANK__' };
  if (references.length > 0) request.inputs = { referenceImages: [...references] };
  for (const name of switched) if (values[name] === true) request[name] = {};
  for (const field of fields) {
    const { path } = field;
    const [parent] = path.split('.');
    if (path.includes('.') && switched.includes(parent!) && values[parent!] !== true) continue;
    const value = wireValue(field, values[path]);
    if (value !== undefined) put(request, path, value);
  }
  return request;
}

/** Undefined at the default, or where nothing is set. */
function wireValue(field: Field, value: unknown): unknown {
  if (value === undefined || value === null || value === '') return undefined;
  if (field.kind === 'list') {
    const elements = (value as Values[]).map((element) => listElement(field.fields ?? [], element));
    return elements.length === 0 ? undefined : elements;
  }
  if (field.kind === 'texts') return (value as string[]).length === 0 ? undefined : value;
  const exact = field.kind === 'integer' || field.kind === 'number' ? readNumber(value) : value;
  return exact === field.default ? undefined : exact;
}

function listElement(fields: readonly Field[], values: Values): Record<string, unknown> {
  const element: Record<string, unknown> = {};
  for (const field of fields) {
    const value = wireValue(field, values[field.path]);
    if (value !== undefined) put(element, field.path, value);
  }
  return element;
}

/** Text that is no number goes to the server unchanged; the server's error then appears beside the field. */
export function readNumber(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const text = value.trim();
  if (/^-?\d+$/.test(text)) {
    const number = Number(text);
    return Number.isSafeInteger(number) ? number : BigInt(text);
  }
  return /^-?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : value;
}

function put(object: Record<string, unknown>, path: string, value: unknown): void {
  const dot = path.indexOf('.');
  if (dot < 0) {
    object[path] = value;
    return;
  }
  const name = path.slice(0, dot);
  object[name] ??= {};
  put(object[name] as Record<string, unknown>, path.slice(dot + 1), value);
}

/** The inverse: a request → the values of the form, without references, model and prompt. */
export function readValues(fields: readonly Field[], request: Readonly<Record<string, unknown>>): Values {
  const values: Record<string, unknown> = {};
  for (const name of switched) if (request[name] !== undefined) values[name] = true;
  for (const { path } of fields) {
    const value = path
      .split('.')
      .reduce<unknown>((object, name) => (object as Record<string, unknown> | undefined)?.[name], request);
    if (value !== undefined) values[path] = typeof value === 'bigint' ? value.toString() : value;
  }
  for (const path of ['taskType', 'taskUUID', 'model', 'positivePrompt', 'inputs.referenceImages'])
    delete values[path];
  return values;
}
