/** Results that the clients of connection sessions have not acknowledged yet. */

import type { Database } from './db.ts';
import type { StoredTask } from './tasks.ts';

/** The UUID of a result; or the taskUUID of a client, for all settled results of that task in this session. */
export type Receipt = { result: string } | { task: string; session: string };

export class SessionResults {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Sessions with unacknowledged results. */
  sessions(): { uuid: string; account: string }[] {
    return this.#db.all(
      `SELECT DISTINCT session AS uuid, account FROM results JOIN tasks ON tasks.uuid = task
       WHERE session IS NOT NULL`,
    );
  }

  /** Tasks with unacknowledged results, in the order of their acceptance. */
  tasks(session: string): StoredTask[] {
    return this.#db.all(
      `SELECT * FROM tasks WHERE uuid IN (SELECT task FROM results WHERE session = ?) ORDER BY accepted, uuid`,
      session,
    );
  }

  /** The acknowledged results of a task. */
  received(task: string): string[] {
    return this.#db
      .all<{ uuid: string }>('SELECT uuid FROM results WHERE task = ? AND session IS NULL', task)
      .map(({ uuid }) => uuid);
  }

  /** In one transaction. */
  note(receipts: readonly Receipt[]): void {
    this.#db.transaction(() => {
      for (const receipt of receipts) {
        if ('result' in receipt) {
          this.#db.run('UPDATE results SET session = NULL WHERE uuid = ?', receipt.result);
          continue;
        }
        this.#db.run(
          `UPDATE results SET session = NULL
           WHERE session = ? AND task IN (SELECT uuid FROM tasks WHERE taskUUID = ?) AND (item IS NOT NULL OR failure IS NOT NULL)`,
          ...[receipt.session, receipt.task],
        );
      }
    });
  }

  /** Call when the session has expired. */
  forget(session: string): void {
    this.#db.run('UPDATE results SET session = NULL WHERE session = ?', session);
  }
}
