/** Validates JSON values against a schema and reports every error, not only the first. */

import { nearest } from '../nearest.ts';
import { describe, expectation, publicType, range, show } from './describe.ts';
import type { ErrorObject } from './errors.ts';
import type {
  ArraySchema,
  FloatSchema,
  IntegerSchema,
  LongSchema,
  ObjectSchema,
  Schema,
  StringSchema,
} from './schema.ts';

type Path = readonly (string | number)[];

export class Reader {
  readonly errors: ErrorObject[] = [];
  readonly #spelling: ReadonlyMap<string, string>;

  /** `spelling`: how the client wrote a parameter whose legacy name was accepted. */
  constructor(spelling: ReadonlyMap<string, string> = new Map()) {
    this.#spelling = spelling;
  }

  /** The value with defaults filled in; invalid values are reported and become undefined. */
  read(schema: Schema, value: unknown, path: Path): unknown {
    // Clients send null for "not given" (a documented departure from the hosted service, which refuses it).
    if (value === undefined || value === null) {
      if (schema.required) this.#missing(schema, path);
      return schema.default;
    }
    const before = this.errors.length;
    const valid = this.#readPresent(schema, value, path);
    if (this.errors.length === before) this.#checkSupported(schema, valid, path);
    return valid;
  }

  hasError(...parameters: string[]): boolean {
    return this.errors.some(
      ({ parameter }) => typeof parameter === 'string' && parameters.includes(parameter),
    );
  }

  /** Bounds the errors of one task: a hostile task could have a million wrong fields. */
  get #full(): boolean {
    return this.errors.length >= 50;
  }

  report(code: string, message: string, path: Path, facts: Partial<ErrorObject> = {}): void {
    if (!this.#full) this.errors.push({ code, message, parameter: this.#name(path), ...facts });
  }

  #readPresent(schema: Schema, value: unknown, path: Path): unknown {
    switch (schema.type) {
      case 'string':
        return this.#readString(schema, value, path);
      case 'integer':
      case 'float':
        return this.#readNumber(schema, value, path);
      case 'long':
        return this.#readLong(schema, value, path);
      case 'boolean':
        return typeof value === 'boolean' ? value : this.#invalid(schema, value, path);
      case 'array':
        return this.#readArray(schema, value, path);
      case 'object':
        return this.#readObject(schema, value, path);
    }
  }

  #readString(schema: StringSchema, value: unknown, path: Path): unknown {
    if (typeof value !== 'string') return this.#invalid(schema, value, path);
    const { allowed, format, minLength = 0, maxLength = Number.POSITIVE_INFINITY } = schema;
    if (allowed && !allowed.includes(value))
      return this.#invalid(schema, value, path, nearest(value, allowed));
    if (format === 'uuid' && !isUuid(value)) return this.#invalid(schema, value, path);
    if (format === 'uri' && !isWebAddress(value)) return this.#invalid(schema, value, path);
    const length = countCharacters(value);
    if (length >= minLength && length <= maxLength) return value;
    const message = `Invalid value for '${this.#place(path)}': found ${length} characters, expected ${expectation(schema)}.`;
    this.report(`${codeOf('invalid', path)}Length`, message, path, describe(schema));
    return undefined;
  }

  #readNumber(schema: IntegerSchema | FloatSchema, value: unknown, path: Path): unknown {
    // A bigint is out of range for an integer and is converted for a float. Adding 0 turns −0 into 0.
    const number =
      typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value + 0 : Number.NaN;
    const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = schema;
    const whole = schema.type === 'float' || Number.isSafeInteger(number);
    const stepped = schema.type === 'integer' || isMultiple(number, schema.step);
    const valid = Number.isFinite(number) && whole && stepped && number >= min && number <= max;
    return valid ? number : this.#invalid(schema, value, path);
  }

  #readLong(schema: LongSchema, value: unknown, path: Path): unknown {
    const whole = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
    const long = whole ? BigInt(value as number | bigint) : undefined;
    if (long === undefined || long < schema.min || long > schema.max)
      return this.#invalid(schema, value, path);
    return long;
  }

  #readArray(schema: ArraySchema, value: unknown, path: Path): unknown {
    if (!Array.isArray(value)) return this.#invalid(schema, value, path);
    const { minItems: min = 0, maxItems: max } = schema;
    if (value.length < min || (max !== undefined && value.length > max)) {
      const expected = max === undefined ? `at least ${min}` : range(min, max);
      const message = `Invalid value for '${this.#place(path)}': found ${value.length} items, expected ${expected}.`;
      const facts = { type: 'array', min, ...(max === undefined ? {} : { max }) };
      return this.report(`${codeOf('invalid', path)}Count`, message, path, facts);
    }
    return value.map((item, index) => {
      if (this.#full) return undefined;
      if (item !== null) return this.read(schema.items, item, [...path, index]);
      return this.#invalid(schema.items, item, [...path, index]);
    });
  }

  #readObject(schema: ObjectSchema, value: unknown, path: Path): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.#invalid(schema, value, path);
    const names = Object.keys(schema.properties);
    for (const name of Object.keys(value)) {
      if (this.#full) break;
      if (!Object.hasOwn(schema.properties, name)) this.#unknown(name, names, path);
    }
    const given = value as Record<string, unknown>;
    const read = (name: string) => (Object.hasOwn(given, name) ? given[name] : undefined);
    return Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [
        name,
        this.read(property, read(name), [...path, name]),
      ]),
    );
  }

  #checkSupported(schema: Schema, value: unknown, path: Path): void {
    const supported: readonly unknown[] | undefined = schema.supported;
    if (supported === undefined || supported.includes(value)) return;
    const place = this.#place(path);
    const instead =
      supported.length > 0 ? `only ${supported.map(show).join(', ')} works` : 'leave the parameter out';
    const message = `Unsupported parameter '${place}': ${show(value)} is valid, but this version cannot act on it yet; ${instead}.`;
    const facts = supported.length > 0 ? { allowedValues: supported } : {};
    this.report('unsupportedParameter', message, path, { type: publicType(schema), ...facts });
  }

  #unknown(name: string, names: readonly string[], path: Path): void {
    const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
    const guess = nearest(name, names);
    const hint = guess === undefined ? `expected one of ${names.join(', ')}` : `did you mean '${guess}'?`;
    const place = this.#place([...path, shown]);
    this.report('unknownParameter', `Unknown parameter '${place}': ${hint}${guess ? '' : '.'}`, [
      ...path,
      shown,
    ]);
  }

  #missing(schema: Schema, path: Path): void {
    const message = `Missing parameter '${this.#place(path)}': it is required; expected ${expectation(schema)}.`;
    this.report(codeOf('missing', path), message, path, describe(schema));
  }

  #invalid(schema: Schema, value: unknown, path: Path, guess?: string): undefined {
    const hint = guess === undefined ? '' : ` Did you mean '${guess}'?`;
    const message = `Invalid value for '${this.#place(path)}': found ${show(value)}, expected ${expectation(schema)}.${hint}`;
    this.report(codeOf('invalid', path), message, path, describe(schema));
  }

  #name(path: Path): string {
    const name = path.filter((part) => typeof part === 'string').join('.');
    return this.#spelling.get(name) ?? name;
  }

  /** The name with indices, for messages: `lora[2].weight`. */
  #place(path: Path): string {
    const name = path.reduce<string>(
      (text, part) =>
        typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`,
      '',
    );
    return this.#spelling.get(name) ?? name;
  }
}

/** `invalid` and `inputs.referenceImages` → `invalidReferenceImages`; `lora.weight` → `invalidLoraWeight`. */
export function codeOf(kind: 'invalid' | 'missing' | 'unsupported', path: Path): string {
  const names = path.filter((part) => typeof part === 'string' && part !== 'inputs');
  return kind + (names as string[]).map((name) => name.charAt(0).toUpperCase() + name.slice(1)).join('');
}

/** Any UUID, whatever its version: the shape only, as the hosted service does. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);
}

function isWebAddress(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

/** 2.51 / 0.01 is 250.99999999999997: equal up to rounding counts. */
function isMultiple(value: number, step: number | undefined): boolean {
  if (step === undefined) return true;
  const steps = value / step;
  return Math.abs(steps - Math.round(steps)) < 1e-9;
}

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
