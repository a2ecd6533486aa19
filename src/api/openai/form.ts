/** Multipart fields, which are all text, → the equivalent JSON. */

import { parseJson } from '../json.ts';
import type { ObjectSchema, Schema } from '../schema.ts';
import type { WireObject } from '../task-type.ts';

/** One part: a text, or a file as a data URI. */
export type FormField = { name: string; value: string };

/**
 * SDKs write lists as `image[]` repeated, and lists of objects as `lora[][model]`, in the order of the objects. An empty
 * text counts as an absent parameter, since forms have no null.
 */
export function readForm(fields: readonly FormField[], { properties }: ObjectSchema): WireObject {
  const object: WireObject = {};
  for (const { name, value } of fields) {
    if (value === '') continue;
    const [, base = name, brackets = ''] = /^([^[\]]+)((?:\[\w*\])+)$/.exec(name) ?? [];
    const schema = Object.hasOwn(properties, base) ? properties[base] : undefined;
    const member = /^\[\w*\]\[(\w+)\]$/.exec(brackets)?.[1];
    const given = object[base];
    if (member !== undefined && schema?.type === 'array' && schema.items.type === 'object') {
      object[base] = addMember(Array.isArray(given) ? given : [], member, value, schema.items);
    } else if (brackets !== '' || given !== undefined) {
      const before = given === undefined ? [] : Array.isArray(given) ? given : [given];
      object[base] = [...before, value];
    } else {
      object[base] = schema === undefined ? value : readText(value, schema);
    }
  }
  return object;
}

/** Members belong to the last object of the list; a repeated member begins the next object. */
function addMember(list: WireObject[], name: string, value: string, { properties }: ObjectSchema) {
  const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
  const member = { [name]: schema === undefined ? value : readText(value, schema) };
  const last = list.at(-1);
  return last && !Object.hasOwn(last, name)
    ? [...list.slice(0, -1), { ...last, ...member }]
    : [...list, member];
}

/** Converts a text to its schema's type. Other text stays as it is; validation then refuses it. */
function readText(text: string, { type }: Schema): unknown {
  if (type === 'string' || (type === 'array' && !text.startsWith('['))) return text;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}
