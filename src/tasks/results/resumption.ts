/**
 * What the clients of connection sessions have received, kept with the results, so that a session goes on where it was
 * after the server was killed.
 */

import type { Reply } from '../../api/results.ts';
import type { Receipt } from '../../store/session-results.ts';
import type { StoredTask } from '../../store/tasks.ts';
import { toFailure } from '../failures.ts';
import type { Caller, Context } from '../handler.ts';
import { knownTask } from './lookup.ts';
import { awaitResults } from './wait.ts';

export type ResumedTask = { taskUUID: string; replies: AsyncIterable<Reply> };

/**
 * Milliseconds between two writings. A single receipt is written at once, many that follow together: none costs its
 * result a transaction. What was received in such a moment before a crash is said again.
 */
const interval = 250;

export class Resumption {
  readonly #desk: Pick<Context, 'parts' | 'tracker'>;
  #receipts: Receipt[] = [];
  #rest: NodeJS.Timeout | undefined;

  constructor(desk: Pick<Context, 'parts' | 'tracker'>) {
    this.#desk = desk;
  }

  /** Sessions of an earlier process to whose clients something is still to be said. */
  sessions(): { uuid: string; account: string }[] {
    return this.#desk.parts.sessionResults.sessions();
  }

  /** All there is to say to the client of a session that has not received it. */
  resume(session: string, caller: Caller): ResumedTask[] {
    return this.#desk.parts.sessionResults
      .tasks(session)
      .filter(({ account }) => account === caller.account)
      .map((task) => ({ taskUUID: knownTask(task).terms.taskUUID, replies: this.#await(task, caller) }));
  }

  /** Never throws: a receipt that cannot be written costs a repetition after the next start. */
  note(receipt: Receipt): void {
    this.#receipts.push(receipt);
    if (!this.#rest) this.#write();
  }

  /** Never throws either. */
  forget(session: string): void {
    this.#try(() => this.#desk.parts.sessionResults.forget(session));
  }

  close(): void {
    clearTimeout(this.#rest);
    this.#write();
  }

  async *#await(stored: StoredTask, caller: Caller): AsyncGenerator<Reply> {
    const { parts, tracker } = this.#desk;
    const { type: taskType, terms, uuid } = knownTask(stored);
    const { taskUUID, outputType } = terms;
    try {
      const told = new Set(parts.sessionResults.received(uuid));
      const deadline = performance.now() + parts.syncTimeout;
      yield* awaitResults({ taskType, taskUUID, outputType }, deadline, { parts, tracker, caller }, told);
    } catch (error) {
      yield { failure: toFailure(error, { taskType, taskUUID }, parts.log) };
    }
  }

  #write(): void {
    this.#rest = undefined;
    if (this.#receipts.length === 0) return;
    const receipts = this.#receipts.splice(0);
    this.#try(() => this.#desk.parts.sessionResults.note(receipts));
    this.#rest = setTimeout(() => this.#write(), interval);
    this.#rest.unref();
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#desk.parts.log.warn('What a client received cannot be written down.', { error });
    }
  }
}
