/** The outbox: what is still to be sent for a result, and what was given up. Times are milliseconds since 1970. */

import { randomUUID } from 'node:crypto';
import type { Database } from './db.ts';

export type DeliveryKind = 'upload' | 'webhook';

export type Delivery = {
  uuid: string;
  kind: DeliveryKind;
  result: string;
  /** That failed. */
  attempts: number;
  due: number;
};

export class DeliveryStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(kind: DeliveryKind, result: string): void {
    this.#db.run(
      'INSERT INTO deliveries (uuid, kind, result, due) VALUES (?, ?, ?, ?)',
      ...[randomUUID(), kind, result, Date.now()],
    );
  }

  /** The earliest first, whether they are due or not. */
  pending(limit: number): Delivery[] {
    return this.#db.all(
      `SELECT uuid, kind, result, attempts, due FROM deliveries WHERE failure IS NULL ORDER BY due LIMIT ?`,
      limit,
    );
  }

  postpone(uuid: string, due: number): void {
    this.#db.run('UPDATE deliveries SET attempts = attempts + 1, due = ? WHERE uuid = ?', due, uuid);
  }

  /** Sent, or of no use any more. */
  remove(uuid: string): void {
    this.#db.run('DELETE FROM deliveries WHERE uuid = ?', uuid);
  }

  giveUp(uuid: string, failure: string): void {
    this.#db.run('UPDATE deliveries SET attempts = attempts + 1, failure = ? WHERE uuid = ?', failure, uuid);
  }
}
