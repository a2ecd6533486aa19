/** Whose stored pictures are, when they were last used, and which go at a time of their own. Milliseconds since 1970. */

import type { Database } from './db.ts';

/** Uses are written down to the hour, so that looking at a picture seldom writes. */
const useInterval = 3_600_000;

export type Lifetime = { used: number; expires: number | null; account: string | null };

export type Beginning = { expires?: number | undefined; account?: string | undefined };

export class Lifetimes {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  begin(uuid: string, now: number, { expires, account }: Beginning = {}): void {
    this.#db.run(
      'INSERT OR REPLACE INTO assets (uuid, used, expires, account) VALUES (?, ?, ?, ?)',
      ...[uuid, now, expires ?? null, account ?? null],
    );
  }

  /** Resolves when a power failure does not undo either what was begun. Throws `dataDirectoryUnusable`. */
  flush(): Promise<void> {
    return this.#db.flush();
  }

  /** Undefined for a picture that is not known, `expires` null for one that stays as long as it is used. */
  find(uuid: string): Lifetime | undefined {
    return this.#db.get('SELECT used, expires, account FROM assets WHERE uuid = ?', uuid);
  }

  /** The newest pictures of an account by their last use, without those that have expired. */
  recent(account: string, now: number, limit: number): { uuid: string; used: number }[] {
    return this.#db.all(
      `SELECT uuid, used FROM assets WHERE account = ? AND (expires IS NULL OR expires > ?)
       ORDER BY used DESC, uuid LIMIT ?`,
      ...[account, now, limit],
    );
  }

  touch(uuid: string, now: number): void {
    this.#db.run('UPDATE assets SET used = ? WHERE uuid = ? AND used < ?', now, uuid, now - useInterval);
  }

  /** Pictures that are to go. */
  over(now: number, unusedSince: number): string[] {
    const rows = this.#db.all<{ uuid: string }>(
      'SELECT uuid FROM assets WHERE expires <= ? OR (expires IS NULL AND used < ?)',
      ...[now, unusedSince],
    );
    return rows.map(({ uuid }) => uuid);
  }

  end(uuid: string): void {
    this.#db.run('DELETE FROM assets WHERE uuid = ?', uuid);
  }
}
