import type { Database } from '../store/db.ts';
import { type Job, type JobList, LocalQueue, type LocalQueueOptions } from './local.ts';

/** A queue in the database: after a crash and a new start it goes on where it was. */
export function createSqliteQueue(db: Database, options: LocalQueueOptions): LocalQueue {
  return new LocalQueue(new StoredJobs(db), options);
}

class StoredJobs implements JobList {
  readonly #db: Database;
  /** Counted here: the database would look at every job, and no other process adds any. */
  #size: number;

  constructor(db: Database) {
    this.#db = db;
    this.#size = db.get<{ size: number }>('SELECT count(*) AS size FROM jobs')!.size;
  }

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    return this.#db.get('SELECT 1 FROM jobs WHERE id = ?', id) !== undefined;
  }

  add(ids: readonly string[]): void {
    const insert = 'INSERT INTO jobs (id) VALUES (?) ON CONFLICT DO NOTHING';
    for (const id of ids) this.#size += this.#db.run(insert, id);
  }

  take(): Job | undefined {
    return this.#db.get(
      `UPDATE jobs SET attempts = attempts + 1 WHERE sequence = (SELECT min(sequence) FROM jobs)
       RETURNING id, attempts AS attempt`,
    );
  }

  putBack(id: string): void {
    this.#db.run('UPDATE jobs SET attempts = attempts - 1 WHERE id = ? AND attempts > 0', id);
  }

  remove(id: string): void {
    this.#size -= this.#db.run('DELETE FROM jobs WHERE id = ?', id);
  }

  checkpoint(): void {
    this.#db.checkpoint();
  }

  transaction<Result>(changes: () => Result): Result {
    const before = this.#size;
    try {
      return this.#db.transaction(changes);
    } catch (error) {
      this.#size = before;
      throw error;
    }
  }
}
