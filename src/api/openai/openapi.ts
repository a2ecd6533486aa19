/** The OpenAI door in the OpenAPI document. */

import { type JsonSchema, toObjectSchema } from '../json-schema.ts';
import { type Kind, kinds, requestExamples, requestSchemas } from './requests.ts';

const picture = { type: 'string', description: 'A URL, a data URI, base64 or the UUID of a stored picture.' };
const file = { type: 'string', contentMediaType: 'application/octet-stream' };

const titles = { edit: 'ImagesEdit', generation: 'ImagesGeneration' } as const satisfies Record<Kind, string>;

const errorAnswer: JsonSchema = {
  description: "An error in OpenAI's shape; codes and sentences are those of POST /v1.",
  content: { 'application/json': { schema: { $ref: '#/components/schemas/OpenAIError' } } },
};

export const imagesPaths: JsonSchema = {
  '/v1/images/edits': {
    post: makeImages('edit', 'Edits pictures from a sentence (OpenAI Images API).', {
      'application/json': body('edit', {
        image: { oneOf: [picture, { type: 'array', items: picture }] },
        images: {
          type: 'array',
          items: { oneOf: [picture, { type: 'object', properties: { image_url: picture } }] },
        },
        mask: picture,
      }),
      'multipart/form-data': body('edit', {
        image: file,
        'image[]': { type: 'array', items: file },
        mask: file,
      }),
    }),
  },
  '/v1/images/generations': {
    post: makeImages('generation', 'Makes pictures from a sentence (OpenAI Images API).', {
      'application/json': body('generation', {}),
    }),
  },
  '/v1/models': { get: getModels('The installed models (OpenAI API).', 'ModelList') },
  '/v1/models/{id}': {
    get: {
      ...getModels('One model (OpenAI API).', 'ModelEntry'),
      parameters: [
        {
          name: 'id',
          in: 'path',
          required: true,
          description: 'An AIR, an alias or a name of OpenAI for the default model.',
          schema: { type: 'string' },
        },
      ],
    },
  },
};

export const imagesSchemas: JsonSchema = {
  ...Object.fromEntries(
    kinds.map((kind) => [titles[kind], toObjectSchema(titles[kind], requestSchemas[kind])]),
  ),
  ImagesAnswer: {
    type: 'object',
    properties: {
      created: { type: 'integer', description: 'Seconds since 1970.' },
      data: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            b64_json: { type: 'string' },
            url: { type: 'string', format: 'uri' },
            seed: { type: 'integer' },
          },
          required: ['seed'],
        },
      },
      size: { type: 'string', description: 'The true size, which may differ from the one asked for.' },
      quality: { type: 'string' },
      output_format: { type: 'string' },
      background: { const: 'opaque' },
      errors: { type: 'array', items: { $ref: '#/components/schemas/OpenAIError/properties/error' } },
    },
    required: ['created', 'data'],
  },
  OpenAIError: {
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: {
          message: { type: 'string' },
          type: { type: 'string' },
          param: { type: ['string', 'null'] },
          code: { type: 'string' },
          allowedValues: { type: 'array' },
          min: { type: 'number' },
          max: { type: 'number' },
        },
        required: ['message', 'type', 'param', 'code'],
      },
    },
    required: ['error'],
  },
  ModelEntry: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      object: { const: 'model' },
      created: { type: 'integer' },
      owned_by: { type: 'string' },
    },
    required: ['id', 'object', 'created', 'owned_by'],
  },
  ModelList: {
    type: 'object',
    properties: {
      object: { const: 'list' },
      data: { type: 'array', items: { $ref: '#/components/schemas/ModelEntry' } },
    },
    required: ['object', 'data'],
  },
};

function makeImages(kind: Kind, summary: string, content: JsonSchema): JsonSchema {
  return {
    operationId: titles[kind],
    summary,
    requestBody: { required: true, content },
    responses: {
      200: {
        description: 'The pictures, or with stream server-sent events: previews, then the pictures.',
        content: {
          'application/json': { schema: { $ref: '#/components/schemas/ImagesAnswer' } },
          'text/event-stream': {},
        },
      },
      default: errorAnswer,
    },
  };
}

function getModels(summary: string, schema: string): JsonSchema {
  return {
    summary,
    responses: {
      200: {
        description: summary,
        content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
      },
      default: errorAnswer,
    },
  };
}

/** The schema of the request, with every accepted form of its images. */
function body(kind: Kind, pictures: JsonSchema): JsonSchema {
  const { properties, ...schema } = toObjectSchema(titles[kind], requestSchemas[kind]);
  const { image: _, mask: __, ...rest } = properties as Record<string, unknown>;
  return {
    schema: { ...schema, properties: { ...pictures, ...rest }, required: ['prompt'] },
    ...(Object.hasOwn(pictures, 'image[]') ? {} : { example: requestExamples[kind] }),
  };
}
