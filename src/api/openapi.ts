/** `/openapi.json`: the API in OpenAPI 3.1, made of the schemas that validate it. */

import { apiErrors } from './errors.ts';
import { type JsonSchema, toObjectSchema } from './json-schema.ts';
import { imagesPaths, imagesSchemas } from './openai/openapi.ts';
import { type Size, sizeName } from './sizes.ts';
import type { TaskType } from './task-type.ts';
import { constraintsFor } from './tasks/image-inference-rules.ts';
import { type TaskName, taskTypes } from './tasks/index.ts';

export type ApiFacts = { version: string; maxTasks: number };

type Named = readonly [name: TaskName, type: TaskType];

export function describeApi({ version, maxTasks }: ApiFacts): JsonSchema {
  const types = Object.entries(taskTypes) as unknown as Named[];
  return {
    openapi: '3.1.0',
    info: {
      title: 'Retouch',
      version,
      summary: 'A self-hosted image editor that speaks the task API of Runware.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }, {}],
    paths: {
      '/v1': { post: performTasks(types) },
      ...imagesPaths,
      '/images/{name}': { get: getImage },
      '/health': { get: getJson('What the server and its engine do.') },
      '/ready': { get: getJson('Whether the server takes tasks.', { 503: { description: 'It does not.' } }) },
      '/metrics': { get: getText('Figures for Prometheus.', 'text/plain') },
      '/openapi.json': { get: getJson('This document.') },
      '/registry.json': { get: getJson('The installed models and their task types.') },
      '/resolve/{air}': { get: resolveModel },
    },
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Tasks: {
          type: 'array',
          minItems: 1,
          maxItems: maxTasks,
          items: { ...oneOf(types.map(([name]) => requestName(name))), discriminator: discriminator(types) },
        },
        Answer: {
          type: 'object',
          properties: {
            data: { type: 'array', items: { anyOf: types.map(([name]) => reference(resultName(name))) } },
            errors: { type: 'array', items: reference('Error') },
            error: { ...reference('Error'), description: 'The first of errors.' },
          },
          required: ['data'],
        },
        Error: errorSchema,
        ...imagesSchemas,
        ...Object.fromEntries(types.map((named) => [requestName(named[0]), describeRequest(named)])),
        ...Object.fromEntries(
          types.map(([name, { result }]) => [
            resultName(name),
            toObjectSchema(`${name} result`, result, { open: true }),
          ]),
        ),
      },
    },
  };
}

/** The schema of one model, which newer SDKs fetch. `draws`: the model's sizes where they differ from the API's list. */
export function describeModel(draws: readonly Size[]): JsonSchema {
  const { schema, result, documentation } = taskTypes.imageInference;
  const $schema = 'https://json-schema.org/draft/2019-09/schema';
  return {
    requestSchema: {
      $schema,
      ...toObjectSchema('imageInference', schema, { constraints: constraintsFor(draws), steps: false }),
      description: `Sizes: ${draws.map(sizeName).join(', ')}.`,
    },
    responseSchema: { $schema, ...toObjectSchema('imageInference result', result, { open: true }) },
    documentation,
  };
}

function describeRequest([name, { schema, constraints, about, documentation, examples }]: Named): JsonSchema {
  return {
    ...toObjectSchema(name, schema, { constraints }),
    description: about,
    examples,
    externalDocs: { url: documentation },
  };
}

function performTasks(types: readonly Named[]): JsonSchema {
  const examples = types.flatMap(([name, { examples, about }]) =>
    examples.map((task, index) => [
      index === 0 ? name : `${name}${index + 1}`,
      { summary: about, value: [task] },
    ]),
  );
  const answer = (description: string) => ({
    description,
    content: { 'application/json': { schema: reference('Answer') } },
  });
  const statuses = [...new Set(Object.values(apiErrors).map(([status]) => status))].sort((a, b) => a - b);
  const codes = (status: number) =>
    Object.keys(apiErrors).filter((code) => apiErrors[code as keyof typeof apiErrors][0] === status);
  return {
    operationId: 'performTasks',
    summary: 'Performs tasks.',
    requestBody: {
      required: true,
      content: {
        'application/json': { schema: reference('Tasks'), examples: Object.fromEntries(examples) },
      },
    },
    responses: {
      200: answer('Results; errors stand beside them where the request succeeded in part.'),
      ...Object.fromEntries(
        statuses.map((status) => [status, answer(`Nothing succeeded: ${codes(status).join(', ')}.`)]),
      ),
    },
  };
}

const getImage: JsonSchema = {
  summary: 'A stored picture.',
  security: [],
  parameters: [pathParameter('name', 'The UUID of the picture, a dot and jpg, png or webp.')],
  responses: {
    200: {
      description: 'The picture.',
      content: Object.fromEntries(['image/jpeg', 'image/png', 'image/webp'].map((type) => [type, {}])),
    },
    404: { description: 'No such picture, or no longer.' },
  },
};

const resolveModel: JsonSchema = {
  ...getJson('JSON Schemas of what a model is asked and what it answers.', {
    404: { description: 'The model is not installed.' },
  }),
  parameters: [pathParameter('air', 'The id of an installed model, such as retouch:mini@1.')],
};

function getJson(summary: string, others: JsonSchema = {}): JsonSchema {
  return getText(summary, 'application/json', others);
}

function getText(summary: string, type: string, others: JsonSchema = {}): JsonSchema {
  return {
    summary,
    security: [],
    responses: { 200: { description: summary, content: { [type]: {} } }, ...others },
  };
}

function pathParameter(name: string, description: string): JsonSchema {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } };
}

const errorSchema: JsonSchema = {
  type: 'object',
  properties: {
    code: { type: 'string' },
    message: { type: 'string' },
    parameter: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
    type: { type: 'string' },
    min: { type: 'number' },
    max: { type: 'number' },
    multiplier: { type: 'number' },
    default: {},
    allowedValues: { type: 'array' },
    documentation: { type: 'string', format: 'uri' },
    taskType: { type: 'string' },
    taskUUID: { type: 'string' },
  },
  required: ['code', 'message'],
};

const requestName = (name: TaskName) => `${name.charAt(0).toUpperCase()}${name.slice(1)}Task`;
const resultName = (name: TaskName) => `${name.charAt(0).toUpperCase()}${name.slice(1)}Result`;

function reference(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

function oneOf(names: readonly string[]): JsonSchema {
  return { oneOf: names.map(reference) };
}

function discriminator(types: readonly Named[]): JsonSchema {
  const mapping = types.map(([name]) => [name, `#/components/schemas/${requestName(name)}`]);
  return { propertyName: 'taskType', mapping: Object.fromEntries(mapping) };
}
