/** One envelope per HTTP request: its data in the order of the tasks, then its errors. */

import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { stringifyJson } from '../api/json.ts';
import { type Item, type PendingReply, type Reply, toEnvelope } from '../api/results.ts';
import { split } from './item-text.ts';

/** Characters of base64 per write. */
const pieceLength = 256 * 2 ** 10;

export function answer(reply: FastifyReply, replies: readonly Reply[]): FastifyReply {
  const { status, body } = toEnvelope(replies);
  return asJson(reply, status).send(stringifyJson(body));
}

/**
 * Images are read one at a time, as fast as the client reads: the size of an answer has no limit, and it needs the
 * memory of one image. The status is known after the first item.
 */
export async function answerPending(
  reply: FastifyReply,
  replies: readonly PendingReply[],
): Promise<FastifyReply> {
  if (replies.every(isSettled)) return answer(reply, replies);
  const failures: Reply[] = [];
  for (const [index, pending] of replies.entries()) {
    const settled = await settle(pending);
    if ('failure' in settled) {
      failures.push(settled);
      continue;
    }
    const chunks = writeEnvelope(settled.item, replies.slice(index + 1), failures);
    return asJson(reply, 200).send(Readable.from(chunks, { objectMode: false }));
  }
  return answer(reply, failures);
}

async function* writeEnvelope(
  first: Item,
  rest: readonly PendingReply[],
  failures: Reply[],
): AsyncGenerator<string | Buffer> {
  yield '{"data":[';
  yield* writeItem(first);
  for (const pending of rest) {
    const settled = await settle(pending);
    if ('failure' in settled) {
      failures.push(settled);
      continue;
    }
    yield ',';
    yield* writeItem(settled.item);
  }
  const { data: _, ...errors } = toEnvelope(failures).body;
  // `]`, then either the end or the errors without their opening brace.
  yield failures.length === 0 ? ']}' : `],${stringifyJson(errors).slice(1)}`;
}

function isSettled(pending: PendingReply): pending is Reply {
  return !('read' in pending);
}

/** Writes in pieces, so that other requests run between two pieces. */
function* writeItem(item: Item): Generator<string | Buffer> {
  const { head, image, tail } = split(item);
  yield head;
  for (let at = 0; at < image.length; at += pieceLength) {
    yield Buffer.from(image.slice(at, at + pieceLength), 'latin1');
  }
  if (tail !== '') yield tail;
}

export function settle(pending: PendingReply): Reply | Promise<Reply> {
  return 'read' in pending ? pending.read() : pending;
}

/** Called once, when the answer was sent or the client has disconnected. */
export function whenAnswered({ raw }: FastifyReply, act: () => void): void {
  const end = () => {
    raw.off('finish', end);
    raw.off('close', end);
    act();
  };
  raw.on('finish', end);
  raw.on('close', end);
}

function asJson(reply: FastifyReply, status: number): FastifyReply {
  return reply.code(status).type('application/json; charset=utf-8');
}
