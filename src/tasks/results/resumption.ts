/**
 * Stores which results the clients of connection sessions have acknowledged, so that a session resumes after the server
 * was killed.
 */

import type { PendingReply } from '../../api/results.ts';
import type { Log } from '../../log.ts';
import type { Receipt, SessionResults } from '../../store/session-results.ts';
import type { StoredTask } from '../../store/tasks.ts';
import type { Failures } from '../failures.ts';
import type { Caller } from '../handlers/handler.ts';
import { knownTask, salvagedTask } from './lookup.ts';
import { awaitResults, type WaitOptions } from './wait.ts';

export type ResumedTask = { taskUUID: string; replies: AsyncIterable<PendingReply> };

/**
 * Milliseconds between two writes: a single acknowledgement is written at once, the next ones together, so that they do
 * not cost a transaction each. A crash before the write repeats results, and loses none.
 */
const interval = 250;

export type ResumptionOptions = {
  results: SessionResults;
  waiting: WaitOptions;
  failures: Failures;
  log: Log;
};

export class Resumption {
  readonly #options: ResumptionOptions;
  #receipts: Receipt[] = [];
  #rest: NodeJS.Timeout | undefined;

  constructor(options: ResumptionOptions) {
    this.#options = options;
  }

  /** Sessions of an earlier process whose clients have not received all results. */
  sessions(): { uuid: string; account: string }[] {
    return this.#options.results.sessions();
  }

  /** Tasks of a session with results that its client has not received. */
  resume(session: string, caller: Caller): ResumedTask[] {
    return this.#options.results
      .tasks(session)
      .filter(({ account }) => account === caller.account)
      .map((task) => ({ taskUUID: salvagedTask(task).terms.taskUUID, replies: this.#await(task, caller) }));
  }

  /** Never throws: if the write fails, the result is only repeated after the next start. */
  note(receipt: Receipt): void {
    this.#receipts.push(receipt);
    if (!this.#rest) this.#write();
  }

  /** Never throws. */
  forget(session: string): void {
    this.#try(() => this.#options.results.forget(session));
  }

  close(): void {
    clearTimeout(this.#rest);
    this.#write();
  }

  async *#await(stored: StoredTask, caller: Caller): AsyncGenerator<PendingReply> {
    const { results, waiting, failures } = this.#options;
    const { type: taskType, terms, uuid } = knownTask(stored);
    const { taskUUID, outputType } = terms;
    const place = { taskType, taskUUID };
    try {
      const received = results.received(uuid);
      const deadline = performance.now() + waiting.syncTimeout;
      const task = { uuid, taskType, taskUUID, outputType, received, deadline };
      for await (const reply of awaitResults(task, caller, waiting)) yield failures.guardRead(reply, place);
    } catch (error) {
      yield { failure: failures.of(error, place) };
    }
  }

  #write(): void {
    this.#rest = undefined;
    if (this.#receipts.length === 0) return;
    const receipts = this.#receipts.splice(0);
    this.#try(() => this.#options.results.note(receipts));
    this.#rest = setTimeout(() => this.#write(), interval);
    this.#rest.unref();
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log.warn('What a client received cannot be written down.', { error });
    }
  }
}
