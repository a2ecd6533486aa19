/** Documents about the API, for programs: OpenAPI, the registry of models, and the JSON Schemas of one model. */

import { createHash } from 'node:crypto';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../api/errors.ts';
import { stringifyJson } from '../api/json.ts';
import { describeApi, describeModel } from '../api/openapi.ts';
import { listedSizes } from '../api/sizes.ts';
import type { ModelStore } from '../store/models.ts';
import { readVersion } from '../version.ts';

export type DiscoveryOptions = { models: ModelStore; maxTasks: number };

export const discovery: FastifyPluginAsync<DiscoveryOptions> = async (server, { models, maxTasks }) => {
  const version = await readVersion();
  const openapi = makeDocument(describeApi({ version, maxTasks }));
  server.get('/openapi.json', (request, reply) => send(request, reply, openapi));
  // The installed models are fixed while the server runs.
  const registry = makeDocument(describeRegistry(models, version));
  server.get('/registry.json', (request, reply) => send(request, reply, registry));
  server.get<{ Params: { air: string } }>('/resolve/:air', (request, reply) => {
    const { air } = request.params;
    const model = models.find(air) ?? models.models.find((model) => slugOf(model.air) === air);
    if (!model) throw apiError('modelNotFound', models.explainMissing(air));
    return send(request, reply, makeDocument(describeModel(model.sizes ?? listedSizes)));
  });
};

type Document = { text: string; tag: string };

function makeDocument(value: unknown): Document {
  const text = stringifyJson(value);
  return { text, tag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` };
}

function send(request: FastifyRequest, reply: FastifyReply, { text, tag }: Document): FastifyReply {
  // Pages of other sites may read the documents, which have no private data.
  reply.headers({ etag: tag, 'cache-control': 'no-cache', 'access-control-allow-origin': '*' });
  if (request.headers['if-none-match'] === tag) return reply.code(304).send();
  return reply.type('application/json; charset=utf-8').send(text);
}

/** The format of the SDKs: models by AIR, with a short name as an alternative. */
function describeRegistry({ models }: ModelStore, version: string): object {
  const taskType = 'imageInference';
  const entries = models.map(({ air }) => [air, { taskType, id: slugOf(air) }]);
  return {
    version,
    models: Object.fromEntries(entries),
    architectureTaskTypes: Object.fromEntries(models.map(({ architecture }) => [architecture, taskType])),
    modalityTaskTypes: { image: taskType },
  };
}

/** `runware:106@1` → `runware-106-1`. */
function slugOf(air: string): string {
  return air.toLowerCase().replace(/[^a-z0-9]+/g, '-');
}
