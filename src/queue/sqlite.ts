import type { Database } from '../store/db.ts';
import { type Job, type JobList, LocalQueue, type LocalQueueOptions, type NewJobs } from './local.ts';

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

  add({ ids, account, needs }: NewJobs, running: readonly string[]): void {
    const { round } = this.#db.get<{ round: number }>(
      `SELECT max(coalesce((SELECT min(round) FROM jobs), 0),
                  coalesce((SELECT max(round) FROM jobs
                            WHERE id IN (SELECT value FROM json_each(?)) AND needs = ?), 0),
                  coalesce((SELECT max(round) + 1 FROM jobs WHERE account = ?), 0)) AS round`,
      JSON.stringify(running),
      needs,
      account,
    )!;
    const insert = 'INSERT INTO jobs (id, account, needs, round) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING';
    let added = 0;
    for (const id of ids) added += this.#db.run(insert, id, account, needs, round + added);
    this.#size += added;
  }

  take(running: readonly string[], hasRoom: (needs: string) => boolean): Job | undefined {
    const full: string[] = [];
    for (;;) {
      const first = this.#db.get<{ sequence: number; needs: string }>(
        `SELECT sequence, needs FROM jobs
         WHERE id NOT IN (SELECT value FROM json_each(?)) AND needs NOT IN (SELECT value FROM json_each(?))
         ORDER BY round, sequence LIMIT 1`,
        JSON.stringify(running),
        JSON.stringify(full),
      );
      if (!first) return undefined;
      if (hasRoom(first.needs)) {
        return this.#db.get<Job>(
          'UPDATE jobs SET attempts = attempts + 1 WHERE sequence = ? RETURNING id, needs, attempts, crashes',
          first.sequence,
        );
      }
      full.push(first.needs);
    }
  }

  demoteAttempted(): Job[] {
    this.#db.run('UPDATE jobs SET round = (SELECT max(round) + 1 FROM jobs) WHERE attempts > 0');
    return this.#db.all('SELECT id, needs, attempts, crashes FROM jobs WHERE attempts > 0');
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
