/** Usage by account and day (UTC): kept when the tasks themselves are deleted. */

import type { Database } from './db.ts';

/** `date` such as 2026-06-11. */
export type UsageDay = {
  date: string;
  tasks: number;
  images: number;
  computeSeconds: number;
  /** In dollars. */
  cost: number;
};

export type Use = Partial<Omit<UsageDay, 'date'>>;

export class UsageStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  note(account: string, use: Use, now = Date.now()): void {
    const { tasks = 0, images = 0, computeSeconds = 0, cost = 0 } = use;
    this.#db.run(
      `INSERT INTO usage (account, date, tasks, images, computeSeconds, cost) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (account, date) DO UPDATE SET tasks = tasks + excluded.tasks, images = images + excluded.images,
         computeSeconds = computeSeconds + excluded.computeSeconds, cost = cost + excluded.cost`,
      ...[account, dateOf(now), tasks, images, computeSeconds, cost],
    );
  }

  /** Days with usage, the latest first. */
  days(account: string): UsageDay[] {
    return this.#db.all(
      'SELECT date, tasks, images, computeSeconds, cost FROM usage WHERE account = ? ORDER BY date DESC',
      account,
    );
  }
}

/** The day in UTC. */
export function dateOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
