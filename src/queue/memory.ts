import { RetouchError } from '../error.ts';
import type { Queue, QueueErrorCode, Work } from './queue.ts';

type Entry<Job, Outcome> = {
  job: Job;
  signal: AbortSignal | undefined;
  settle: PromiseWithResolvers<Outcome>;
};

/**
 * A queue in this process. There is one engine, so jobs run one at a time, in the order they came:
 * take → run → finish or fail → take again.
 *
 * Invariant: an entry is in `#waiting`, is `#running`, or is settled.
 */
export class MemoryQueue<Job, Outcome> implements Queue<Job, Outcome> {
  readonly #work: Work<Job, Outcome>;
  readonly #limit: number;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<Entry<Job, Outcome>>();
  #running: Promise<void> | undefined;

  constructor(work: Work<Job, Outcome>, limit: number) {
    this.#work = work;
    this.#limit = limit;
  }

  get depth(): number {
    return this.#waiting.size + (this.#running ? 1 : 0);
  }

  async push(job: Job, signal?: AbortSignal): Promise<Outcome> {
    if (this.#closing.signal.aborted) throw closed();
    if (signal?.aborted) throw aborted();
    if (this.depth >= this.#limit) {
      throw queueError(
        'queueFull',
        `The queue has ${this.depth} jobs, as many as it takes; try again later.`,
      );
    }
    const entry = { job, signal, settle: Promise.withResolvers<Outcome>() };
    const leave = () => {
      if (this.#waiting.delete(entry)) entry.settle.reject(aborted());
    };
    signal?.addEventListener('abort', leave, { once: true });
    this.#waiting.add(entry);
    this.#take();
    return entry.settle.promise.finally(() => signal?.removeEventListener('abort', leave));
  }

  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const entry of this.#waiting) entry.settle.reject(closed());
    this.#waiting.clear();
    await this.idle();
  }

  #take(): void {
    const [entry] = this.#waiting;
    if (this.#running || !entry) return;
    this.#waiting.delete(entry);
    this.#running = this.#run(entry).finally(() => {
      this.#running = undefined;
      this.#take();
    });
  }

  /** Never rejects: how the job ended is the entry's end. */
  async #run({ job, signal, settle }: Entry<Job, Outcome>): Promise<void> {
    const closing = this.#closing.signal;
    try {
      settle.resolve(await this.#work(job, signal ? AbortSignal.any([signal, closing]) : closing));
    } catch (error) {
      settle.reject(closing.aborted ? closed() : signal?.aborted ? aborted() : error);
    }
  }
}

function aborted(): RetouchError {
  return queueError('jobAborted', 'The task was stopped before its image was finished.');
}

function closed(): RetouchError {
  return queueError('queueClosed', 'The server is shutting down and runs no more tasks.');
}

function queueError(code: QueueErrorCode, message: string): RetouchError {
  return new RetouchError(code, message);
}
