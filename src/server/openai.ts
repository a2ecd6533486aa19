/** OpenAI's Images API: its requests become tasks of the service of `POST /v1`, with the same limits and metrics. */

import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { apiError, type Failure } from '../api/errors.ts';
import { stringifyJson } from '../api/json.ts';
import { type Picture, toImagesAnswer, toModelEntry } from '../api/openai/answers.ts';
import { toOpenAIError } from '../api/openai/errors.ts';
import { readForm } from '../api/openai/form.ts';
import { type ImagesRequest, type Kind, requestSchemas } from '../api/openai/requests.ts';
import { translate } from '../api/openai/translate.ts';
import { parseText } from '../api/parse.ts';
import type { ImageItem, Reply } from '../api/results.ts';
import type { Config } from '../config.ts';
import type { ModelStore } from '../store/models.ts';
import type { Follower } from '../tasks/follower.ts';
import type { Sources } from '../tasks/inputs/image-source.ts';
import type { TaskService } from '../tasks/service.ts';
import type { Account, Gate } from './auth.ts';
import { readFormBody } from './form-body.ts';
import { disconnection, publicUrlOf } from './http.ts';
import { findModel, performUntilLeft, translationFor, withTaskMask } from './images.ts';
import { openImagesStream, sendEvents } from './openai-stream.ts';

export type OpenAIOptions = {
  service: TaskService;
  config: Config;
  gate: Gate;
  models: ModelStore;
  sources: Sources;
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route's form of an error; that of `POST /v1` by default. */
    answerFailure?: (reply: FastifyReply, failure: Failure) => FastifyReply;
  }
}

const config = { answerFailure: (reply: FastifyReply, failure: Failure) => answerFailures(reply, [failure]) };

export const openai: FastifyPluginAsync<OpenAIOptions> = async (server, options) => {
  const { service, gate, models } = options;
  const accounts = new WeakMap<FastifyRequest, Account>();
  const onRequest = async (request: FastifyRequest) => {
    accounts.set(request, gate.requireKey(request));
  };
  const found = Date.now();

  const images = (kind: Kind) => async (request: FastifyRequest, reply: FastifyReply) => {
    const taskUUID = randomUUID();
    // SDKs show it beside errors; getTaskDetails and getResponse take it.
    reply.header('x-request-id', taskUUID);
    const translation = translationFor(taskUUID, service, models);
    const account = accounts.get(request)!;
    const signal = disconnection(reply);
    const given = await readRequest(kind, request);
    const wire = kind === 'edit' ? await withTaskMask(given, options.sources, { account, signal }) : given;
    const translated = translate(kind, wire, translation);
    if ('failures' in translated) {
      service.refuse(translated.failures);
      return answerFailures(reply, translated.failures);
    }
    const { task, request: asked } = translated;
    const caller = { account, publicUrl: publicUrlOf(request, options.config), signal };
    const perform = (follower: Follower) =>
      performUntilLeft(service, task, { ...caller, follower, patient: asked.stream });
    if (!asked.stream) return answerImages(reply, asked, perform);
    const opened = await openImagesStream({ kind, request: asked, perform });
    if ('refused' in opened) return answerFailures(reply, opened.refused);
    return sendEvents(reply, opened.events);
  };

  server.post('/v1/images/edits', { onRequest, config }, images('edit'));
  server.post('/v1/images/generations', { onRequest, config }, images('generation'));
  server.get('/v1/models', { onRequest, config }, async () => ({
    object: 'list',
    data: models.models.map(({ air }) => toModelEntry(air, air, found)),
  }));
  server.get<{ Params: { id: string } }>('/v1/models/:id', { onRequest, config }, async (request) => {
    const { id } = request.params;
    const model = findModel(models, id);
    if (model) return toModelEntry(id, model.air, found);
    throw apiError('modelNotFound', models.explainMissing(id), { parameter: 'model' });
  });
};

async function answerImages(
  reply: FastifyReply,
  asked: ImagesRequest,
  perform: (follower: Follower) => AsyncIterable<Reply>,
): Promise<FastifyReply> {
  const sizes: Picture[] = [];
  const items: ImageItem[] = [];
  const failures: Failure[] = [];
  const follower: Follower = {
    previews: 0,
    onAccept: () => {},
    onEvent: (_result, event) => void (event.type === 'image' && sizes.push(event.image)),
  };
  for await (const answer of perform(follower)) {
    if ('failure' in answer) failures.push(answer.failure);
    else items.push(answer.item as ImageItem);
  }
  if (items.length === 0 && failures.length > 0) return answerFailures(reply, failures);
  const answer = toImagesAnswer(asked, { items, failures, size: sizes[0] });
  return reply.type('application/json; charset=utf-8').send(stringifyJson(answer));
}

/** Throws `invalidBody`. */
async function readRequest(kind: Kind, { body, headers }: FastifyRequest): Promise<unknown> {
  const bytes = body instanceof Uint8Array ? body : new Uint8Array();
  const type = headers['content-type'] ?? '';
  if (!/^multipart\/form-data\b/i.test(type)) return parseText(bytes, 'a JSON object or multipart/form-data');
  return readForm(await readFormBody(bytes, type), requestSchemas[kind]);
}

function answerFailures(reply: FastifyReply, failures: readonly Failure[]): FastifyReply {
  const { status, body } = toOpenAIError(failures as [Failure, ...Failure[]]);
  // The task continues: an SDK that retried would have it made twice.
  if (status === 504) reply.header('x-should-retry', 'false');
  return reply.code(status).type('application/json; charset=utf-8').send(stringifyJson(body));
}
