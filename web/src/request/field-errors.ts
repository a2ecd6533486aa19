/** The errors of the server beside the fields that they name. */

import type { WireError } from '../server/wire.ts';
import { type Field, ownFields } from './fields.ts';

export type FieldErrors = {
  /** Path of a field → sentences. Those of an element of a list are under `lora[0].weight`. */
  fields: ReadonlyMap<string, string[]>;
  /** Errors that name no field of the form. */
  others: WireError[];
};

export const noErrors: FieldErrors = { fields: new Map(), others: [] };

export function placeErrors(errors: readonly WireError[], fields: readonly Field[]): FieldErrors {
  const placed = new Map<string, string[]>();
  const others: WireError[] = [];
  const known = new Set([...fields.map(({ path }) => path), ...ownFields]);
  for (const error of errors) {
    const paths = [error.parameter ?? []].flat().map((path) => normal(path));
    const own = paths.filter((path) => known.has(path.replace(/\[.*/s, '')) || known.has(path));
    for (const path of own) placed.set(path, [...(placed.get(path) ?? []), error.message]);
    if (own.length === 0) others.push(error);
  }
  return { fields: placed, others };
}

/** `lora.0.weight` and `lora[0].weight` are one. */
function normal(path: string): string {
  return path.replace(/\.(\d+)(?=\.|$)/g, '[$1]');
}
