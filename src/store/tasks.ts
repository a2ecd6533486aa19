/** Accepted tasks and the result of each of their images. The JSON in them is defined in `tasks/`. */

import type { Clock } from './clock.ts';
import type { Database } from './db.ts';

/** `request` is the task as the client sent it, `terms` the terms of delivery. Both are JSON. */
export type StoredTask = {
  /** The server's own id. */
  uuid: string;
  /** The client's id in lower case, unique within the account. */
  taskUUID: string;
  /** Owner; other accounts cannot see it. */
  account: string;
  type: string;
  request: string;
  terms: string;
  /** By the time of `Clock`. */
  accepted: number;
};

/** Open while `item` and `failure` are null, then settled for good with one of them. */
export type StoredResult = {
  uuid: string;
  task: string;
  position: number;
  /** Decimal: beyond what SQLite's integers hold. */
  seed: string;
  item: string | null;
  failure: string | null;
  /** The item of a stored image that waits for its upload; the result is still open. */
  made: string | null;
  /** A JSON array of sentences about the request and the run; null when there are none. */
  warnings: string | null;
};

export type NewResult = { uuid: string; seed: string; plan: string; warnings: readonly StoredWarning[] };

export type StoredWarning = { code: string; message: string };

export type StoredOutcome = { item: string } | { failure: string };

const resultColumns = 'uuid, task, position, seed, item, failure, made, warnings';
const open = 'item IS NULL AND failure IS NULL';
const unmade = `${open} AND made IS NULL`;

export class TaskStore {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** `session` of the client that gets the results pushed; undefined if the client polls. */
  add(task: Omit<StoredTask, 'accepted'>, results: readonly NewResult[], session: string | undefined): void {
    const { uuid, taskUUID, account, type, request, terms } = task;
    const accepted = this.#clock.now();
    this.#db.transaction(() => {
      this.#db.run(
        `INSERT INTO tasks (uuid, taskUUID, account, type, request, terms, accepted, used)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[uuid, taskUUID, account, type, request, terms, accepted, accepted],
      );
      for (const [position, result] of results.entries()) {
        this.#db.run(
          `INSERT INTO results (uuid, task, position, seed, plan, session, warnings)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          ...[result.uuid, uuid, position, result.seed, result.plan, session ?? null],
          result.warnings.length > 0 ? JSON.stringify(result.warnings) : null,
        );
      }
    });
  }

  /** Resolves when every task added so far survives a power failure. Throws `dataDirectoryUnusable`. */
  flush(): Promise<void> {
    return this.#db.flush();
  }

  remove(uuid: string): void {
    this.#db.run('DELETE FROM tasks WHERE uuid = ?', uuid);
  }

  find(account: string, taskUUID: string): StoredTask | undefined {
    return this.#db.get('SELECT * FROM tasks WHERE account = ? AND taskUUID = ?', account, taskUUID);
  }

  countOpen(account: string): number {
    const sql = `SELECT count(*) AS open FROM results JOIN tasks ON tasks.uuid = task WHERE ${open} AND account = ?`;
    return this.#db.get<{ open: number }>(sql, account)!.open;
  }

  /** In the order of their seeds. */
  results(task: string): StoredResult[] {
    return this.#db.all(`SELECT ${resultColumns} FROM results WHERE task = ? ORDER BY position`, task);
  }

  /** A worker's input for an image; undefined once the image is made, settled or deleted. */
  job(result: string): { task: StoredTask; plan: string } | undefined {
    const found = this.#db.get<StoredTask & { plan: string }>(
      `SELECT tasks.*, plan FROM results JOIN tasks ON tasks.uuid = task WHERE results.uuid = ? AND ${unmade}`,
      result,
    );
    if (!found) return undefined;
    const { plan, ...task } = found;
    return { task, plan };
  }

  /** Open results of accepted tasks, oldest first. */
  unmadeResults(): { id: string; account: string }[] {
    return this.#db.all(
      `SELECT results.uuid AS id, account FROM results JOIN tasks ON tasks.uuid = results.task
       WHERE ${unmade} ORDER BY accepted, task, position`,
    );
  }

  openTasks(): string[] {
    return this.#db
      .all<{ task: string }>(`SELECT DISTINCT task FROM results WHERE ${open}`)
      .map(({ task }) => task);
  }

  /** Stores the outcome of an open result; false when it was settled before. `also` is part of the same transaction. */
  settle(result: string, outcome: StoredOutcome, also: () => void = () => {}): boolean {
    const [column, value] = 'item' in outcome ? ['item', outcome.item] : ['failure', outcome.failure];
    return this.#db.transaction(() => {
      const sql = `UPDATE results SET ${column} = ?, plan = NULL WHERE uuid = ? AND ${open}`;
      if (this.#db.run(sql, value, result) === 0) return false;
      also();
      return true;
    });
  }

  /** Adds a warning to a result, without duplicates. */
  warn(result: string, { code, message }: StoredWarning): void {
    this.#db.transaction(() => {
      const found = this.#db.get<{ warnings: string | null }>(
        'SELECT warnings FROM results WHERE uuid = ?',
        result,
      );
      const earlier = JSON.parse(found?.warnings ?? '[]') as StoredWarning[];
      if (!found || earlier.some((other) => other.code === code && other.message === message)) return;
      this.#db.run(
        'UPDATE results SET warnings = ? WHERE uuid = ?',
        JSON.stringify([...earlier, { code, message }]),
        result,
      );
    });
  }

  /** Stores the item of an image whose upload is pending. False when the result is not open any more. */
  hold(result: string, made: string, also: () => void): boolean {
    return this.#db.transaction(() => {
      const sql = `UPDATE results SET made = ?, plan = NULL WHERE uuid = ? AND ${unmade}`;
      if (this.#db.run(sql, made, result) === 0) return false;
      also();
      return true;
    });
  }

  /** A result and its task, whatever its state. */
  result(uuid: string): { result: StoredResult; task: StoredTask } | undefined {
    const result = this.#db.get<StoredResult>(`SELECT ${resultColumns} FROM results WHERE uuid = ?`, uuid);
    if (!result) return undefined;
    return { result, task: this.#db.get<StoredTask>('SELECT * FROM tasks WHERE uuid = ?', result.task)! };
  }

  /** How many of a task's results are open, and how many have failed. */
  tally(task: string): { open: number; failed: number } {
    const sql = `SELECT count(*) FILTER (WHERE ${open}) AS open, count(failure) AS failed FROM results WHERE task = ?`;
    return this.#db.get<{ open: number; failed: number }>(sql, task)!;
  }

  /**
   * Deletes tasks not used for `retention` milliseconds, with their results; tasks with open results or pending
   * deliveries stay.
   */
  sweep(retention: number): void {
    this.#db.run(
      `DELETE FROM tasks WHERE used < ?
         AND NOT EXISTS (SELECT 1 FROM results WHERE task = tasks.uuid AND ${open})
         AND NOT EXISTS (SELECT 1 FROM deliveries JOIN results ON results.uuid = deliveries.result
                         WHERE results.task = tasks.uuid AND deliveries.failure IS NULL)`,
      this.#clock.now() - retention,
    );
  }

  /** Restarts the task's retention. Rounded to the hour, so that polling seldom writes. */
  touch(uuid: string): void {
    const now = this.#clock.now();
    this.#db.run('UPDATE tasks SET used = ? WHERE uuid = ? AND used < ?', now, uuid, now - 3_600_000);
  }
}
