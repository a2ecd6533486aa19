import { type Job, type JobList, LocalQueue, type LocalQueueOptions, type NewJobs } from './local.ts';

/** A queue that ends with the process. */
export function createMemoryQueue(options: LocalQueueOptions): LocalQueue {
  return new LocalQueue(new MemoryJobs(), options);
}

type Entry = Job & { account: string; round: number };

class MemoryJobs implements JobList {
  /** By id; a Map keeps the order of insertion. */
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  position(id: string): number | undefined {
    const place = this.#inOrder().findIndex((entry) => entry.id === id);
    return place < 0 ? undefined : place;
  }

  add({ ids, account, needs }: NewJobs, running: readonly string[]): void {
    const entries = [...this.#entries.values()];
    const first = Math.min(...entries.map(({ round }) => round));
    const now = entries
      .filter((entry) => running.includes(entry.id) && entry.needs === needs)
      .map(({ round }) => round);
    const own = entries.filter((entry) => entry.account === account).map(({ round }) => round + 1);
    let round = Math.max(Number.isFinite(first) ? first : 0, ...now, ...own);
    for (const id of ids) {
      if (this.has(id)) continue;
      this.#entries.set(id, { id, account, needs, round: round++, attempts: 0, crashes: 0 });
    }
  }

  take(running: readonly string[], hasRoom: (needs: string) => boolean): Job | undefined {
    const first = this.#inOrder().find(({ id, needs }) => !running.includes(id) && hasRoom(needs));
    if (!first) return undefined;
    first.attempts++;
    return { ...first };
  }

  demoteAttempted(): Job[] {
    const entries = [...this.#entries.values()];
    const behind = Math.max(...entries.map(({ round }) => round)) + 1;
    const attempted = entries.filter(({ attempts }) => attempts > 0);
    for (const entry of attempted) entry.round = behind;
    return attempted.map((entry) => ({ ...entry }));
  }

  putBack(id: string): void {
    const entry = this.#entries.get(id);
    if (entry && entry.attempts > 0) entry.attempts--;
  }

  countCrash(id: string): void {
    const entry = this.#entries.get(id);
    if (entry) entry.crashes++;
  }

  remove(id: string): void {
    this.#entries.delete(id);
  }

  checkpoint(): void {}

  /** Sorting is stable, so that entries of one round keep the order of insertion. */
  #inOrder(): Entry[] {
    return [...this.#entries.values()].sort((a, b) => a.round - b.round);
  }

  transaction<Result>(changes: () => Result): Result {
    return changes();
  }
}
