/** The parameters of a task as fields of a form, made of the JSON Schema that the server publishes. */

export type JsonSchema = {
  type?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  format?: string;
  description?: string;
  title?: string;
  allOf?: JsonSchema[];
  anyOf?: JsonSchema[];
  examples?: unknown[];
};

type FieldKind = 'text' | 'integer' | 'number' | 'boolean' | 'choice' | 'texts' | 'list';

export type Field = {
  /** `acceleratorOptions.fbCache`; of an element of a list without the list's own name. */
  path: string;
  name: string;
  kind: FieldKind;
  about: string;
  required: boolean;
  default?: unknown;
  choices?: string[];
  min?: number;
  max?: number;
  step?: number;
  maxLength?: number;
  maxItems?: number;
  format?: string;
  /** Fields of each element of a list. */
  fields?: Field[];
};

/** Objects are taken apart: their properties are fields with a dot in the path. */
export function fieldsOf(schema: JsonSchema, prefix = ''): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = prefix + name;
    if (property.type === 'object') return fieldsOf(property, `${path}.`);
    return [fieldOf(path, property, schema.required?.includes(name) ?? false)];
  });
}

function fieldOf(path: string, schema: JsonSchema, required: boolean): Field {
  const name = path.slice(path.lastIndexOf('.') + 1);
  const { description: about = '', minimum, maximum, multipleOf: step } = schema;
  const common = { path, name, about, required, ...given({ default: schema.default }) };
  if (schema.const !== undefined) return { ...common, kind: 'choice', choices: [String(schema.const)] };
  if (schema.enum) return { ...common, kind: 'choice', choices: schema.enum.map(String) };
  switch (schema.type) {
    case 'integer':
      return { ...common, kind: 'integer', step: 1, ...given({ min: bound(minimum), max: bound(maximum) }) };
    case 'number':
      return { ...common, kind: 'number', ...given({ min: minimum, max: maximum, step }) };
    case 'boolean':
      return { ...common, kind: 'boolean' };
    case 'array': {
      const { items = {}, maxItems } = schema;
      if (items.type !== 'object') return { ...common, kind: 'texts', ...given({ maxItems }) };
      return { ...common, kind: 'list', fields: fieldsOf(items), ...given({ maxItems }) };
    }
    default: {
      const { maxLength, format } = schema;
      return { ...common, kind: 'text', ...given({ maxLength, format }) };
    }
  }
}

/** For a parameter without bounds the schema has those of exact numbers. */
function bound(value: number | undefined): number | undefined {
  return value === undefined || Math.abs(value) === Number.MAX_SAFE_INTEGER ? undefined : value;
}

type Given<T> = { [Key in keyof T]: Exclude<T[Key], undefined> };

function given<T extends object>(fields: T): Partial<Given<T>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<
    Given<T>
  >;
}

type Group = { title: string; about?: string; names: readonly string[] };

/** As the model's page groups its parameters, the most used first. A name with properties stands for all of them. */
const groups: readonly Group[] = [
  {
    title: 'Generation',
    names: ['numberResults', 'seed', 'width', 'height', 'steps', 'scheduler', 'CFGScale'],
  },
  { title: 'Negative prompt', names: ['negativePrompt', 'trueCFGScale'] },
  { title: 'LoRA', names: ['lora'] },
  { title: 'IP-Adapters', names: ['ipAdapters'] },
  { title: 'Faces', names: ['ultralytics'] },
  { title: 'Step caches', names: ['acceleratorOptions'] },
  { title: 'Safety', names: ['safety'] },
  { title: 'Output', names: ['outputFormat', 'outputQuality', 'outputType', 'includeCost', 'ttl'] },
  { title: 'Delivery', names: ['deliveryMethod', 'webhookURL', 'uploadEndpoint'] },
];

/** Parameters with a separate place on the page, outside the form. */
export const ownFields: readonly string[] = [
  'taskType',
  'taskUUID',
  'model',
  'positivePrompt',
  'inputs.referenceImages',
  // Older clients know them; FLUX.1 Kontext edits references.
  'inputs.seedImage',
  'inputs.maskImage',
];

export type FieldGroup = { title: string; fields: Field[] };

/** Parameters that no group names come last, so that a newer server hides none. */
export function groupFields(fields: readonly Field[]): FieldGroup[] {
  const rest = fields.filter(({ path }) => !ownFields.includes(path));
  const top = ({ path }: Field) => path.split('.', 1)[0]!;
  const grouped = groups.map(({ title, names }) => ({
    title,
    fields: names.flatMap((name) => rest.filter((field) => top(field) === name)),
  }));
  const named = new Set(groups.flatMap(({ names }) => names));
  const others = rest.filter((field) => !named.has(top(field)));
  return [...grouped, { title: 'More', fields: others }].filter((group) => group.fields.length > 0);
}
