/** Owner, size, last use and expiry of every stored image, by the time of `Clock`. */

import { RetouchError } from '../error.ts';
import type { Clock } from './clock.ts';
import type { Database } from './db.ts';
import type { StoreErrorCode } from './errors.ts';

/** Uses are written to the hour, so that reading an image seldom writes. */
const useInterval = 3_600_000;

/** A hundred years, in milliseconds: clients send 2^53 − 1 seconds to mean "for ever". */
const longestTtl = 100 * 365 * 86_400_000;

/** `ttl`: milliseconds until the expiry; undefined for an image that is kept while it is used. */
export type Lifetime = { account: string | undefined; ttl: number | undefined };

export type Beginning = {
  account?: string | undefined;
  ttl?: number | undefined;
  bytes: number;
  /** The account's quota in bytes, this image included. */
  quota?: number | undefined;
};

export class Lifetimes {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** Throws `storageLimitReached` when the image does not fit into the quota. */
  begin(uuid: string, { account, ttl, bytes, quota }: Beginning): void {
    const now = this.#clock.now();
    const expires = ttl === undefined ? null : now + Math.min(ttl, longestTtl);
    this.#db.transaction(() => {
      if (quota !== undefined && account !== undefined) refuseExcess(this.bytesOf(account), bytes, quota);
      this.#db.run(
        'INSERT OR REPLACE INTO assets (uuid, used, expires, account, bytes) VALUES (?, ?, ?, ?, ?)',
        ...[uuid, now, expires, account ?? null, bytes],
      );
    });
  }

  /** Resolves when every lifetime stored so far survives a power failure. Throws `dataDirectoryUnusable`. */
  flush(): Promise<void> {
    return this.#db.flush();
  }

  /** Undefined for an unknown image. */
  find(uuid: string): Lifetime | undefined {
    const row = this.#db.get<{ expires: number | null; account: string | null }>(
      'SELECT expires, account FROM assets WHERE uuid = ?',
      uuid,
    );
    if (!row) return undefined;
    const ttl = row.expires === null ? undefined : row.expires - this.#clock.now();
    return { account: row.account ?? undefined, ttl };
  }

  /** The newest images of an account by their last use, without expired ones. `used`: milliseconds since the last use. */
  recent(account: string, limit: number): { uuid: string; used: number }[] {
    const now = this.#clock.now();
    return this.#db.all(
      `SELECT uuid, ? - used AS used FROM assets WHERE account = ? AND (expires IS NULL OR expires > ?)
       ORDER BY assets.used DESC, uuid LIMIT ?`,
      ...[now, account, now, limit],
    );
  }

  /**
   * Counts a use of an image whose record is `known`; one without a record, because the database was lost, is registered
   * again. Gives the fields of the record that it has.
   */
  use(uuid: string, known: Lifetime | undefined, bytes: number): { ttl?: number; account?: string } {
    if (known) this.touch(uuid);
    else this.begin(uuid, { bytes });
    const { ttl, account } = known ?? {};
    return { ...(ttl === undefined ? {} : { ttl }), ...(account === undefined ? {} : { account }) };
  }

  touch(uuid: string): void {
    const now = this.#clock.now();
    this.#db.run('UPDATE assets SET used = ? WHERE uuid = ? AND used < ?', now, uuid, now - useInterval);
  }

  /** Images past their expiry, and those without one that were not used for `retention` milliseconds. */
  over(retention: number): string[] {
    const now = this.#clock.now();
    const rows = this.#db.all<{ uuid: string }>(
      'SELECT uuid FROM assets WHERE expires <= ? OR (expires IS NULL AND used < ?)',
      ...[now, now - retention],
    );
    return rows.map(({ uuid }) => uuid);
  }

  /** Bytes of all stored images of an account. */
  bytesOf(account: string): number {
    const sql = 'SELECT coalesce(sum(bytes), 0) AS bytes FROM assets WHERE account = ?';
    return this.#db.get<{ bytes: number }>(sql, account)!.bytes;
  }

  /** Images that an older version stored without their size. */
  unmeasured(): string[] {
    return this.#db
      .all<{ uuid: string }>('SELECT uuid FROM assets WHERE bytes IS NULL')
      .map(({ uuid }) => uuid);
  }

  measure(uuid: string, bytes: number): void {
    this.#db.run('UPDATE assets SET bytes = ? WHERE uuid = ?', bytes, uuid);
  }

  end(uuid: string): void {
    this.#db.run('DELETE FROM assets WHERE uuid = ?', uuid);
  }
}

/** Past its expiry, and not swept yet. */
export function isOver(lifetime: Lifetime | undefined): boolean {
  return lifetime?.ttl !== undefined && lifetime.ttl <= 0;
}

function refuseExcess(stored: number, bytes: number, quota: number): void {
  if (stored + bytes <= quota) return;
  const message = `This key has ${stored} bytes of stored images, and the new one has ${bytes}; expected at most ${quota} together. Delete some with mediaStorage.`;
  throw new RetouchError('storageLimitReached' satisfies StoreErrorCode, message);
}
