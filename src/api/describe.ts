/** Describes schemas and values for error objects. */

import type { ErrorObject } from './errors.ts';
import type { Schema } from './schema.ts';

/** The type as the model page names it. */
export function publicType(schema: Schema): string {
  return schema.type === 'long' ? 'integer' : schema.type;
}

/** The members of an error object that describe its parameter. */
export function describe(schema: Schema): Partial<ErrorObject> {
  const facts: Partial<ErrorObject> = { type: publicType(schema) };
  if (schema.type === 'string') {
    if (schema.minLength !== undefined) facts.min = schema.minLength;
    if (schema.maxLength !== undefined) facts.max = schema.maxLength;
    if (schema.allowed) facts.allowedValues = schema.allowed;
  }
  if (schema.type === 'integer' || schema.type === 'long' || schema.type === 'float') {
    if (schema.min !== undefined) facts.min = schema.min;
    if (schema.max !== undefined) facts.max = schema.max;
  }
  if (schema.type === 'float' && schema.step !== undefined) facts.multiplier = schema.step;
  const { default: taken = schema.implied } = schema;
  if (taken !== undefined) facts.default = taken;
  return facts;
}

/** The text after "expected" in an error message: the valid values. */
export function expectation(schema: Schema): string {
  switch (schema.type) {
    case 'string':
      if (schema.allowed && schema.allowed.length > 20)
        return `one of the ${schema.allowed.length} allowed values`;
      if (schema.allowed)
        return schema.allowed.length === 1
          ? show(schema.allowed[0])
          : `one of ${schema.allowed.map(show).join(', ')}`;
      if (schema.format === 'uuid') return 'a UUID such as 3f0c5c8e-5a9d-4a53-9d4b-0d6f8b7a1c2e';
      if (schema.format === 'uri') return 'an http or https URL';
      if (schema.maxLength !== undefined) return `${schema.minLength ?? 0} to ${schema.maxLength} characters`;
      return 'a string';
    case 'integer':
    case 'long':
      return `an integer${bounds(schema.min, schema.max)}`;
    case 'float':
      return `a number${bounds(schema.min, schema.max)}${schema.step === undefined ? '' : ` in steps of ${schema.step}`}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return schema.items.type === 'object'
        ? 'an array of objects'
        : `an array of ${publicType(schema.items)}s`;
    case 'object':
      return 'an object';
  }
}

export function range(min: number | bigint, max: number | bigint): string {
  return `${min} to ${max}`;
}

function bounds(min: number | bigint | undefined, max: number | bigint | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${range(min, max)}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

/** A value as quoted in a message, shortened to a fixed length. */
export function show(value: unknown): string {
  if (typeof value === 'string')
    return value.length > 60 ? `a string of ${value.length} characters` : `'${value}'`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = String(value);
  return text.length > 60 ? `a number of ${text.length} digits` : text;
}
