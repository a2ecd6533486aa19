/** Values of the task API as JSON. Seeds go to 2^63, so integers that a number cannot hold are bigints here. */

type Context = { source?: string };
type Reviver = (key: string, value: unknown, context: Context) => unknown;

const parse = JSON.parse as (text: string, reviver?: Reviver) => unknown;
const raw = (JSON as unknown as { rawJSON?: (text: string) => unknown }).rawJSON;

function parseWire(text: string): unknown {
  if (!/\d{16}/.test(text)) return parse(text);
  return parse(text, (_key, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && source && /^-?\d+$/.test(source)
      ? BigInt(source)
      : value,
  );
}

/** `space` as JSON.stringify takes it. */
export function stringifyWire(value: unknown, space?: number): string {
  // Browsers without JSON.rawJSON round such a seed.
  const keep = (_key: string, item: unknown) =>
    typeof item === 'bigint' ? (raw ? raw(item.toString()) : Number(item)) : item;
  return JSON.stringify(value, keep, space);
}

export type Task = { taskType: string; taskUUID?: string; [parameter: string]: unknown };

export type WireError = {
  code: string;
  message: string;
  parameter?: string | string[];
  taskType?: string;
  taskUUID?: string;
  allowedValues?: unknown[];
};

/** An item of an answer; which fields there are depends on its task type. */
export type Item = {
  taskType: string;
  taskUUID: string;
  imageUUID?: string;
  imageURL?: string;
  imageBase64Data?: string;
  imageDataURI?: string;
  seed?: number | bigint;
  NSFWContent?: boolean;
  cost?: number;
  status?: string;
  [field: string]: unknown;
};

export type Envelope = { data: Item[]; errors: WireError[] };

export function readEnvelope(text: string): Envelope {
  const { data = [], errors = [] } = parseWire(text) as Partial<Envelope>;
  return { data, errors };
}
