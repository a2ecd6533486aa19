/**
 * Serializes a queued Plan as text and byte arrays, and reads it back. Independent of the fields of a Plan, so that new
 * fields are kept without a change here.
 */

import { RetouchError } from '../../error.ts';
import { readStored } from '../results/stored-json.ts';

/** Marks values that JSON cannot represent; no key of a Plan begins with it. */
const mark = '$';

/** Byte arrays are appended to `files`, the same array only once. */
export function writePlan(plan: object, files: Uint8Array[]): string {
  const encode = (value: unknown): unknown => {
    if (typeof value === 'bigint') return { [`${mark}bigint`]: value.toString() };
    if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
      return { [`${mark}number`]: Object.is(value, -0) ? '-0' : String(value) };
    if (value instanceof Uint8Array) {
      if (!files.includes(value)) files.push(value);
      return { [`${mark}file`]: files.indexOf(value) };
    }
    if (typeof value === 'function' || typeof value === 'symbol') throw unknown(typeof value);
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(encode);
    if (Object.getPrototypeOf(value) !== Object.prototype) throw unknown(value.constructor?.name);
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, field]) => field !== undefined)
        .map(([key, field]) => [key, encode(field)]),
    );
  };
  return JSON.stringify(encode(plan));
}

export function readPlan<Plan>(text: string, files: readonly Uint8Array[]): Plan {
  const decode = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(decode);
    const entries = Object.entries(value);
    const [key, content] = entries[0] ?? [''];
    if (key === `${mark}bigint`) return BigInt(content);
    if (key === `${mark}number`) return Number(content);
    if (key === `${mark}file`) return files[content] ?? missing(content);
    return Object.fromEntries(entries.map(([name, field]) => [name, decode(field)]));
  };
  return readStored<Plan>(text, 'a plan', (text) => decode(JSON.parse(text)));
}

function unknown(what: string): RetouchError {
  return new RetouchError('internalError', `A plan holds a ${what}, which cannot be stored.`);
}

function missing(index: number): never {
  throw new RetouchError('internalError', `File ${index} of a stored plan is missing.`);
}
