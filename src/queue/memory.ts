import { type Job, type JobList, LocalQueue, type LocalQueueOptions } from './local.ts';

/** A queue that ends with the process. */
export function createMemoryQueue(options: LocalQueueOptions): LocalQueue {
  return new LocalQueue(new MemoryJobs(), options);
}

class MemoryJobs implements JobList {
  /** Id → attempts; a Map keeps the order of coming. */
  readonly #attempts = new Map<string, number>();

  get size(): number {
    return this.#attempts.size;
  }

  has(id: string): boolean {
    return this.#attempts.has(id);
  }

  add(ids: readonly string[]): void {
    for (const id of ids) if (!this.has(id)) this.#attempts.set(id, 0);
  }

  take(): Job | undefined {
    const [first] = this.#attempts;
    if (!first) return undefined;
    const [id, attempts] = first;
    this.#attempts.set(id, attempts + 1);
    return { id, attempt: attempts + 1 };
  }

  putBack(id: string): void {
    const attempts = this.#attempts.get(id);
    if (attempts) this.#attempts.set(id, attempts - 1);
  }

  remove(id: string): void {
    this.#attempts.delete(id);
  }

  checkpoint(): void {}

  transaction<Result>(changes: () => Result): Result {
    return changes();
  }
}
