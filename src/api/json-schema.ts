/** Our schemas as JSON Schema, for clients that validate before they send. The dialect is the same from 2019-09 on. */

import type { ObjectSchema, Schema } from './schema.ts';

export type JsonSchema = { readonly [keyword: string]: unknown };

export type JsonSchemaOptions = {
  /** Objects may have further properties: answers gain some from version to version, requests may not have any. */
  open?: boolean;
  /**
   * Whether steps become `multipleOf`. Validators that compute 0.29 / 0.01 in binary refuse 0.29, so schemas for clients
   * with an unknown validator omit it, and the server checks the step.
   */
  steps?: boolean;
};

export function toJsonSchema(schema: Schema, options: JsonSchemaOptions = {}): JsonSchema {
  const { default: initial = schema.implied, about: description } = schema;
  return { ...shape(schema, options), ...given({ description, default: initial }) };
}

/** A task or a result, with its title and the rules between its properties. */
export function toObjectSchema(
  title: string,
  schema: ObjectSchema,
  {
    constraints = [],
    ...options
  }: JsonSchemaOptions & { constraints?: readonly JsonSchema[] | undefined } = {},
): JsonSchema {
  return {
    title,
    ...toJsonSchema(schema, options),
    ...(constraints.length === 0 ? {} : { allOf: constraints }),
  };
}

function shape(schema: Schema, options: JsonSchemaOptions): JsonSchema {
  switch (schema.type) {
    case 'string': {
      const { allowed, minLength, maxLength, format } = schema;
      if (allowed?.length === 1) return { type: 'string', const: allowed[0] };
      if (allowed) return { type: 'string', enum: allowed };
      return { type: 'string', ...given({ minLength, maxLength }), ...(format ? formats[format] : {}) };
    }
    case 'integer': {
      // The range in which a double holds every integer exactly.
      const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = schema;
      return { type: 'integer', minimum: min, maximum: max };
    }
    case 'long':
      return { type: 'integer', minimum: schema.min, maximum: schema.max };
    case 'float': {
      const { min: minimum, max: maximum, step } = schema;
      return {
        type: 'number',
        ...given({ minimum, maximum, multipleOf: options.steps === false ? undefined : step }),
      };
    }
    case 'boolean':
      return { type: 'boolean' };
    case 'array': {
      const { items, minItems, maxItems } = schema;
      return { type: 'array', items: toJsonSchema(items, options), ...given({ minItems, maxItems }) };
    }
    case 'object': {
      const properties = Object.entries(schema.properties);
      const required = properties.filter(([, property]) => property.required).map(([name]) => name);
      return {
        type: 'object',
        properties: Object.fromEntries(
          properties.map(([name, property]) => [name, toJsonSchema(property, options)]),
        ),
        ...(required.length === 0 ? {} : { required }),
        ...(options.open ? {} : { additionalProperties: false }),
      };
    }
  }
}

const formats = {
  uuid: { format: 'uuid', pattern: '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' },
  uri: { format: 'uri', pattern: '^[Hh][Tt][Tt][Pp][Ss]?://[^/]' },
} as const;

function given(keywords: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(keywords).filter(([, value]) => value !== undefined));
}
