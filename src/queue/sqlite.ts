import type { Database } from '../store/db.ts';
import { type Job, type JobList, LocalQueue, type LocalQueueOptions } from './local.ts';

/** A queue in the database, which survives a crash. */
export function createSqliteQueue(db: Database, options: LocalQueueOptions): LocalQueue {
  return new LocalQueue(new StoredJobs(db), options);
}

class StoredJobs implements JobList {
  readonly #db: Database;
  /** Counted here, because COUNT reads every row; no other process adds jobs. */
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

  position(id: string): number | undefined {
    return this.#db.get<{ position: number }>(
      `SELECT (SELECT count(*) FROM jobs WHERE (round, sequence) < (job.round, job.sequence)) AS position
       FROM jobs AS job WHERE id = ?`,
      id,
    )?.position;
  }

  add(ids: readonly string[], account: string, running: readonly string[]): void {
    const { round } = this.#db.get<{ round: number }>(
      `SELECT max(coalesce((SELECT min(round) FROM jobs), 0),
                  coalesce((SELECT max(round) FROM jobs WHERE id IN (SELECT value FROM json_each(?))), 0),
                  coalesce((SELECT max(round) + 1 FROM jobs WHERE account = ?), 0)) AS round`,
      JSON.stringify(running),
      account,
    )!;
    const insert = 'INSERT INTO jobs (id, account, round) VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
    let added = 0;
    for (const id of ids) added += this.#db.run(insert, id, account, round + added);
    this.#size += added;
  }

  take(running: readonly string[]): Job | undefined {
    return this.#db.get(
      `UPDATE jobs SET attempts = attempts + 1 WHERE sequence = (
         SELECT sequence FROM jobs WHERE id NOT IN (SELECT value FROM json_each(?)) ORDER BY round, sequence LIMIT 1)
       RETURNING id, attempts, crashes`,
      JSON.stringify(running),
    );
  }

  demoteAttempted(): Job[] {
    this.#db.run('UPDATE jobs SET round = (SELECT max(round) + 1 FROM jobs) WHERE attempts > 0');
    return this.#db.all('SELECT id, attempts, crashes FROM jobs WHERE attempts > 0');
  }

  putBack(id: string): void {
    this.#db.run('UPDATE jobs SET attempts = attempts - 1 WHERE id = ? AND attempts > 0', id);
  }

  countCrash(id: string): void {
    this.#db.run('UPDATE jobs SET crashes = crashes + 1 WHERE id = ?', id);
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
