/**
 * What workers say of a front's images: a Redis stream per front, so that nothing said while the front is away for a moment is
 * lost. The stream is short: it carries events, results travel apart.
 */

import { deserialize, serialize } from 'node:v8';
import type { EngineEvent } from '../engine/plan.ts';
import type { FleetConnection } from './job-queues.ts';
import type { Redis } from './redis.ts';

/** `end`: the job has ended. It is completed under `token`; without one its state says how it ended. */
export type AnswerKind =
  | { type: 'start' }
  | { type: 'event'; event: EngineEvent }
  | { type: 'end'; token?: string };

export type Answer = { job: string; attempt: number; worker: string } & AnswerKind;

/** Most entries of a stream; a front that is further behind looks at the states of its jobs. */
const longest = 5000;
/** Seconds that the stream of a front that does not come back is kept: longer than an image takes. */
const lifetime = 86_400;
/** Milliseconds of one wait: less than what a silent connection is allowed. */
const wait = 2000;

export async function sendAnswer(
  { redis, keys }: FleetConnection,
  front: string,
  answer: Answer,
): Promise<void> {
  const stream = keys.answers(front);
  const pipeline = redis.pipeline().xadd(stream, 'MAXLEN', '~', longest, '*', 'a', serialize(answer));
  if (answer.type !== 'event') pipeline.expire(stream, lifetime);
  await pipeline.exec();
}

/** Reads on `blocking`, a connection of its own, until the signal fires. Answers of before its start are left out. */
export async function readAnswers(
  { blocking, stream, signal }: { blocking: Redis; stream: string; signal: AbortSignal },
  onAnswer: (answer: Answer) => void,
): Promise<void> {
  let last: string | undefined;
  while (!signal.aborted) {
    try {
      last ??= (await blocking.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';
      const found = await blocking.xreadBuffer('COUNT', 200, 'BLOCK', wait, 'STREAMS', stream, last);
      for (const [, entries] of (found ?? []) as [Buffer, [Buffer, Buffer[]][]][]) {
        for (const [id, [, bytes]] of entries) {
          last = id.toString();
          onAnswer(deserialize(bytes!) as Answer);
        }
      }
    } catch {
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
