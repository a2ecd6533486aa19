/** Replies → WebSocket messages: `data` or `errors`, never both, since some clients drop the data of a message with the other key. */

import { stringifyJson } from '../api/json.ts';
import { type PendingReply, type Reply, toEnvelope } from '../api/results.ts';
import { settle } from './answer.ts';
import { textOf } from './item-text.ts';

export type Frame = {
  /** Bytes of memory of the frame until it is sent. */
  readonly size: number;
  /**
   * The message in pieces of some megabytes, each created after the one before was sent. Returns the replies that
   * turned into failures meanwhile, which need their own message.
   */
  write(): AsyncGenerator<string, readonly Reply[]>;
};

type Result = Exclude<PendingReply, { failure: unknown }>;

/** Characters of a piece. Smaller messages are sent in one WebSocket frame. */
const pieceLength = 4 * 2 ** 20;
/** Bytes of the objects around a frame's text. */
const overhead = 300;

/** Errors first: clients take the first message with data for the whole answer. */
export function framesOf(replies: readonly PendingReply[]): Frame[] {
  const failures: Reply[] = [];
  const results: Result[] = [];
  for (const reply of replies) {
    if ('failure' in reply) failures.push(reply);
    else results.push(reply);
  }
  return [
    ...(failures.length > 0 ? [textFrame(errorText(failures))] : []),
    ...(results.length > 0 ? [dataFrame(results)] : []),
  ];
}

function dataFrame(replies: readonly Result[]): Frame {
  const settled = replies.filter((reply) => 'item' in reply);
  if (settled.length === replies.length) {
    return textFrame(stringifyJson({ data: settled.map(({ item }) => item) }));
  }
  return { size: replies.length * overhead, write: () => writeData(replies) };
}

async function* writeData(replies: readonly PendingReply[]): AsyncGenerator<string, readonly Reply[]> {
  const failures: Reply[] = [];
  let piece = '';
  let isFirst = true;
  for (const pending of replies) {
    const reply = await settle(pending);
    if ('failure' in reply) {
      failures.push(reply);
      continue;
    }
    piece += `${isFirst ? '{"data":[' : ','}${textOf(reply.item)}`;
    isFirst = false;
    if (piece.length < pieceLength) continue;
    yield piece;
    piece = '';
  }
  if (!isFirst) yield `${piece}]}`;
  return failures;
}

function textFrame(text: string): Frame {
  return {
    size: text.length + overhead,
    async *write() {
      yield text;
      return [];
    },
  };
}

function errorText(failures: readonly Reply[]): string {
  const { data: _, ...errors } = toEnvelope(failures).body;
  return stringifyJson(errors);
}
