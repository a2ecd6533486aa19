/** The outbox: pending deliveries, and those that were given up. Times are those of `Clock`. */

import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';
import type { Database } from './db.ts';

export type DeliveryKind = 'upload' | 'webhook';

export type Delivery = {
  uuid: string;
  kind: DeliveryKind;
  result: string;
  /** Owner of the task. */
  account: string;
  /** Host name of the receiver. */
  host: string;
  /** Failed attempts. */
  attempts: number;
};

export type NewDelivery = Pick<Delivery, 'kind' | 'result' | 'account' | 'host'>;

/** Deliveries, accounts and hosts to skip. */
export type Exclusions = {
  deliveries: readonly string[];
  accounts: readonly string[];
  hosts: readonly string[];
};

export class DeliveryStore {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  add({ kind, result, account, host }: NewDelivery): void {
    this.#db.run(
      'INSERT INTO deliveries (uuid, kind, result, account, host, due) VALUES (?, ?, ?, ?, ?, ?)',
      ...[randomUUID(), kind, result, account, host, this.#clock.now()],
    );
  }

  /**
   * Deliveries that are due: the oldest of each account, then the second of each, and so on. `wait`: milliseconds until the
   * next one becomes due; undefined when there is none.
   */
  next(limit: number, exclusions: Exclusions): { due: Delivery[]; wait: number | undefined } {
    // Reads the clock once: a delivery that becomes due between two readings would be in neither answer.
    const now = this.#clock.now();
    const sql = 'SELECT min(due) AS next FROM deliveries WHERE failure IS NULL AND due > ?';
    const { next } = this.#db.get<{ next: number | null }>(sql, now)!;
    return { due: this.#due(now, limit, exclusions), wait: next === null ? undefined : next - now };
  }

  #due(now: number, limit: number, { deliveries, accounts, hosts }: Exclusions): Delivery[] {
    return this.#db.all(
      `SELECT uuid, kind, result, account, host, attempts FROM (
         SELECT *, row_number() OVER (PARTITION BY account ORDER BY due, uuid) AS turn FROM deliveries
         WHERE failure IS NULL AND due <= ?
           AND uuid NOT IN (SELECT value FROM json_each(?))
           AND account NOT IN (SELECT value FROM json_each(?))
           AND host NOT IN (SELECT value FROM json_each(?)))
       ORDER BY turn, due LIMIT ?`,
      ...[now, ...[deliveries, accounts, hosts].map((list) => JSON.stringify(list)), limit],
    );
  }

  /** Postpones a delivery by `delay` milliseconds after a failed attempt. */
  postpone(uuid: string, milliseconds: number): void {
    const due = this.#clock.now() + Math.round(milliseconds);
    this.#db.run('UPDATE deliveries SET attempts = attempts + 1, due = ? WHERE uuid = ?', due, uuid);
  }

  /** Removes a delivery that was acknowledged or is obsolete. */
  remove(uuid: string): void {
    this.#db.run('DELETE FROM deliveries WHERE uuid = ?', uuid);
  }

  giveUp(uuid: string, failure: string): void {
    this.#db.run('UPDATE deliveries SET attempts = attempts + 1, failure = ? WHERE uuid = ?', failure, uuid);
  }
}
