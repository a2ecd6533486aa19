import type { Database } from '../store/db.ts';
import { type JobList, LocalQueue, type LocalQueueOptions } from './local.ts';

/** A queue in the database: after a crash and a new start it goes on where it was. */
export function createSqliteQueue(db: Database, options: LocalQueueOptions): LocalQueue {
  return new LocalQueue(new StoredJobs(db), options);
}

class StoredJobs implements JobList {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get size(): number {
    return this.#db.get<{ size: number }>('SELECT count(*) AS size FROM jobs')!.size;
  }

  has(id: string): boolean {
    return this.#db.get('SELECT 1 FROM jobs WHERE id = ?', id) !== undefined;
  }

  add(ids: readonly string[]): void {
    this.#db.transaction(() => {
      for (const id of ids) this.#db.run('INSERT INTO jobs (id) VALUES (?)', id);
    });
  }

  take(): { id: string; attempt: number } | undefined {
    return this.#db.get(
      `UPDATE jobs SET attempts = attempts + 1 WHERE sequence = (SELECT min(sequence) FROM jobs)
       RETURNING id, attempts AS attempt`,
    );
  }

  putBack(id: string): void {
    this.#db.run('UPDATE jobs SET attempts = attempts - 1 WHERE id = ? AND attempts > 0', id);
  }

  remove(id: string): void {
    this.#db.run('DELETE FROM jobs WHERE id = ?', id);
  }
}
