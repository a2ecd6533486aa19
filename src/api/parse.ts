/** Request body → Tasks, each valid or with all of its errors. */

import { nearest } from '../nearest.ts';
import { show } from './describe.ts';
import { documentationOf } from './documentation.ts';
import { apiError, type ErrorObject, type Failure, failure, statusOf } from './errors.ts';
import { parseJson } from './json.ts';
import type { Size } from './sizes.ts';
import type { Renamed, TaskType, WireObject } from './task-type.ts';
import { type Task, type TaskName, taskTypes } from './tasks/index.ts';
import { codeOf, isUuid, Reader } from './validate.ts';

/** The properties of this server that the rules depend on. */
export type ParseContext = {
  maxTasks: number;
  /** The sizes of an installed model, where they differ from the API's list. */
  sizesOf?(air: string): readonly Size[] | undefined;
  /** An error sentence when the model is not installed. */
  explainMissingModel(air: string): string | undefined;
  /** An error when an adapter cannot be used with an installed model; without this function every adapter passes. */
  explainAdapter?(
    category: AdapterCategory,
    air: string,
    model: string,
  ): { fault: 'missing' | 'unsuitable'; message: string } | undefined;
};

/** Parameters that list adapters, each by its `model`. */
const adapterParameters = { lora: 'lora', ipAdapters: 'ip-adapter' } as const;
type AdapterCategory = (typeof adapterParameters)[keyof typeof adapterParameters];

/** `wire`: the element of the request as received. */
export type ValidTask = { task: Task; wire: WireObject };
export type Parsed = ValidTask | { failures: Failure[] };

/** A million separators are far more than the longest sensible request has, and few enough to parse at once. */
const maxSeparators = 1_000_000;

/** Throws an API error when the body is not an array of one to `maxTasks` elements. Errors of elements are returned. */
export function parseTasks(body: Uint8Array, context: ParseContext): Parsed[] {
  const elements = parseArray(body, context.maxTasks);
  const seen = new Set<string>();
  return elements.map((element, index) => {
    const parsed = parseTask(element, index, context);
    const uuid = taskUuid(element);
    if (uuid === undefined || namesOther(element as WireObject)) return parsed;
    if (!seen.has(uuid.toLowerCase())) {
      seen.add(uuid.toLowerCase());
      return parsed;
    }
    const message = `The taskUUID ${uuid} stands on two tasks of this request; expected a different one for each.`;
    const facts = { parameter: 'taskUUID', ...place(element as WireObject) };
    return { failures: [failure('conflictTaskUUID', message, facts)] };
  });
}

function parseArray(body: Uint8Array, maxTasks: number): unknown[] {
  const value = parseText(body);
  if (!Array.isArray(value)) {
    const found = value === null || typeof value !== 'object' ? show(value) : 'one object';
    throw apiError(
      'invalidBody',
      `The body of the request is ${found}; expected a JSON array of tasks: [{"taskType": …}].`,
    );
  }
  if (value.length === 0) throw apiError('arrayTooSmall', 'The request has no task; expected at least 1.');
  if (value.length <= maxTasks) return value;
  throw apiError('maxTasksExceeded', `The request has ${value.length} tasks; expected at most ${maxTasks}.`);
}

/** JSON of a body. Throws `invalidBody`; `expected`: the description of a valid body in its message. */
export function parseText(body: Uint8Array, expected = 'a JSON array of tasks'): unknown {
  if (body.length === 0)
    throw apiError('invalidBody', `The body of the request is empty; expected ${expected}.`);
  if (countSeparators(body) > maxSeparators) {
    throw apiError('invalidBody', `The body of the request has more than ${maxSeparators} values.`);
  }
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    const reason =
      error instanceof SyntaxError || error instanceof RangeError ? error.message : 'it is not UTF-8';
    const size = `${body.length} bytes`;
    throw apiError('invalidBody', `The body of the request (${size}) is not JSON: ${reason.slice(0, 200)}.`);
  }
}

function countSeparators(body: Uint8Array): number {
  let count = 0;
  // , [ {
  for (const byte of body) if (byte === 0x2c || byte === 0x5b || byte === 0x7b) count++;
  return count;
}

/** Parses one element; `index` is its position in the request, for messages. */
export function parseTask(element: unknown, index: number, context: ParseContext): Parsed {
  if (typeof element !== 'object' || element === null || Array.isArray(element)) {
    const message = `Element ${index} of the request is ${show(element)}; expected a task object.`;
    return { failures: [failure('invalidBody', message)] };
  }
  const wire = element as WireObject;
  const name = Object.hasOwn(wire, 'taskType') ? wire.taskType : undefined;
  if (typeof name !== 'string' || !Object.hasOwn(taskTypes, name)) {
    return { failures: [unknownTaskType(name, index, place(wire))] };
  }
  const type: TaskType = taskTypes[name as TaskName];
  const renamed: Renamed = type.rename?.(wire) ?? { task: wire, spelling: new Map(), clashes: [] };
  const reader = new Reader(renamed.spelling);
  for (const [older, newer] of renamed.clashes) {
    const message = `'${older}' is an older spelling of '${newer}', and the two differ; expected one of them.`;
    reader.report('incompatibleParameters', message, [older], { parameter: [older, newer] });
  }
  const task = reader.read(type.schema, renamed.task, []) as WireObject;
  const sizes = typeof task.model === 'string' ? context.sizesOf?.(task.model) : undefined;
  type.checkTogether?.(task, reader, sizes);
  const missing = typeof task.model === 'string' ? context.explainMissingModel(task.model) : undefined;
  if (missing !== undefined) reader.report('modelNotFound', missing, ['model'], { type: 'string' });
  else if (typeof task.model === 'string') checkAdapters(task, task.model, context, reader);
  if (reader.errors.length === 0) return { task: task as Task, wire };
  const written = new Map([...renamed.spelling].map(([newer, spelling]) => [spelling, newer]));
  return { failures: reader.errors.map((error) => atTask(error, wire, { type, written })) };
}

function checkAdapters(task: WireObject, model: string, context: ParseContext, reader: Reader): void {
  for (const [parameter, category] of Object.entries(adapterParameters)) {
    const list = (task[parameter] ?? []) as ({ model?: string } | undefined)[];
    for (const [index, adapter] of list.entries()) {
      if (adapter?.model === undefined) continue;
      const found = context.explainAdapter?.(category, adapter.model, model);
      if (!found) continue;
      const path = [parameter, index, 'model'];
      const code = codeOf(found.fault === 'missing' ? 'invalid' : 'unsupported', path);
      reader.report(code, `Invalid value for '${parameter}[${index}].model': ${found.message}`, path, {
        type: 'string',
      });
    }
  }
}

function unknownTaskType(name: unknown, index: number, at: Partial<ErrorObject>): Failure {
  const allowedValues = Object.keys(taskTypes);
  const facts = { parameter: 'taskType', type: 'string', allowedValues, ...at };
  const expected = `expected one of ${allowedValues.join(', ')}`;
  if (name === undefined || name === null) {
    const message = `Missing parameter 'taskType' in element ${index} of the request: ${expected}.`;
    return { status: 400, error: { code: 'missingTaskType', message, ...facts } };
  }
  const guess = typeof name === 'string' ? nearest(name, allowedValues) : undefined;
  const hint = guess === undefined ? '' : ` Did you mean '${guess}'?`;
  return failure(
    'unsupportedTaskType',
    `Unsupported taskType: found ${show(name)}, ${expected}.${hint}`,
    facts,
  );
}

/** `written`: the client's spelling of a parameter → its name. */
function atTask(
  error: ErrorObject,
  wire: WireObject,
  { type, written }: { type: TaskType; written: ReadonlyMap<string, string> },
): Failure {
  const first = (Array.isArray(error.parameter) ? error.parameter[0] : error.parameter) ?? '';
  const documentation = documentationOf(type, written.get(first) ?? first);
  return { status: statusOf(error.code), error: { ...error, documentation, ...place(wire) } };
}

/** Every error names its task: clients match errors to calls by taskUUID. */
function place(wire: WireObject): Partial<ErrorObject> {
  const uuid = taskUuid(wire);
  const type = Object.hasOwn(wire, 'taskType') ? wire.taskType : undefined;
  return {
    ...(typeof type === 'string' && Object.hasOwn(taskTypes, type) ? { taskType: type } : {}),
    ...(uuid === undefined ? {} : { taskUUID: uuid }),
  };
}

function namesOther({ taskType: name }: WireObject): boolean {
  if (typeof name !== 'string' || !Object.hasOwn(taskTypes, name)) return false;
  const type: TaskType = taskTypes[name as TaskName];
  return type.namesOther ?? false;
}

function taskUuid(element: unknown): string | undefined {
  if (typeof element !== 'object' || element === null || !Object.hasOwn(element, 'taskUUID'))
    return undefined;
  const uuid = (element as WireObject).taskUUID;
  return typeof uuid === 'string' && isUuid(uuid) ? uuid : undefined;
}
