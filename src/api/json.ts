/**
 * JSON with exact 64-bit integers: a seed such as 9223372036854775807 is a bigint in memory and a plain number on the
 * wire. Every other number stays a JavaScript number.
 */

type ReviverContext = { source?: string };
type Reviver = (key: string, value: unknown, context: ReviverContext) => unknown;

// TypeScript's library does not know these two parts of "JSON.parse source text access" yet.
const parse = JSON.parse as (text: string, reviver?: Reviver) => unknown;
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** Integers that need a bigint have at least 16 digits: 2^53 − 1 is 9007199254740991. */
const longInteger = /\d{16}/;
const integerLiteral = /^-?\d+$/;

/** Throws SyntaxError for text that is not JSON and RangeError for nesting too deep to walk. */
export function parseJson(text: string): unknown {
  // The reviver visits every value, so only the few texts with long integers are parsed with it.
  return longInteger.test(text) ? parse(text, keepInteger) : parse(text);
}

export function stringifyJson(value: unknown): string {
  return JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? rawJSON(item.toString()) : item));
}

function keepInteger(_key: string, value: unknown, { source }: ReviverContext): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  return source !== undefined && integerLiteral.test(source) ? BigInt(source) : value;
}
