/** `stream: true` of OpenAI's Images API: previews and pictures as server-sent events. */

import { PassThrough, type Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { Failure } from '../api/errors.ts';
import { stringifyJson } from '../api/json.ts';
import { completedEvent, type Picture, partialEvent } from '../api/openai/answers.ts';
import { toOpenAIError } from '../api/openai/errors.ts';
import type { ImagesRequest, Kind } from '../api/openai/requests.ts';
import type { ImageItem, Reply } from '../api/results.ts';
import type { EncodedImage } from '../engine/plan.ts';
import type { Follower } from '../tasks/follower.ts';

export type ImagesStream = {
  kind: Kind;
  request: ImagesRequest;
  perform(follower: Follower): AsyncIterable<Reply>;
};

/** Milliseconds of silence after which proxies and clients might give up. */
const heartbeat = 15_000;

/**
 * The events of a request after its task was accepted, or its error. Each picture is one event, and so is each later
 * error.
 */
export async function openImagesStream({
  kind,
  request,
  perform,
}: ImagesStream): Promise<{ events: Readable } | { refused: readonly Failure[] }> {
  const events = new PassThrough();
  const write = (event: object & { type?: string }) => {
    const name = event.type === undefined ? 'error' : event.type;
    if (!events.destroyed) events.write(`event: ${name}\ndata: ${stringifyJson(event)}\n\n`);
  };
  const accepted = Promise.withResolvers<readonly Failure[]>();
  let isAccepted = false;
  const sizes = new Map<string, Picture>();
  const previews = new Map<string, number>();
  const show = (result: string, image: EncodedImage) => {
    const index = previews.get(result) ?? 0;
    // Another follower of the task may have asked for more previews.
    if (index >= request.partial_images) return;
    previews.set(result, index + 1);
    const b64_json = Buffer.from(image.bytes).toString('base64');
    write(partialEvent(kind, request, { b64_json, index, size: image }));
  };
  const follower: Follower = {
    previews: request.partial_images,
    onAccept: () => {
      isAccepted = true;
      accepted.resolve([]);
    },
    onEvent: (result, event) => {
      if (event.type === 'image') sizes.set(result, event.image);
      if (event.type === 'preview') show(result, event.image);
    },
  };
  const run = async () => {
    const refused: Failure[] = [];
    for await (const answer of perform(follower)) {
      if ('item' in answer) {
        const item = answer.item as ImageItem;
        write(completedEvent(kind, request, { item, size: sizes.get(item.imageUUID) }));
      } else if (isAccepted) write(toOpenAIError([answer.failure]).body);
      else refused.push(answer.failure);
    }
    accepted.resolve(refused);
  };
  const beat = setInterval(() => events.destroyed || events.write(': waiting\n\n'), heartbeat);
  run()
    .catch((error) => accepted.reject(error))
    .finally(() => {
      clearInterval(beat);
      events.end();
    });
  const refused = await accepted.promise;
  return refused.length > 0 ? { refused } : { events };
}

export function sendEvents(reply: FastifyReply, events: Readable): FastifyReply {
  return reply
    .headers({ 'cache-control': 'no-cache', 'x-accel-buffering': 'no' })
    .type('text/event-stream; charset=utf-8')
    .send(events);
}
