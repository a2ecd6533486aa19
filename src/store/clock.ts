/**
 * The clock of expiry and retries, in milliseconds since about 1970; it never jumps.
 *
 * A wall clock may be wrong by years at a start without network, and may be set forward and back while a server runs.
 * So this clock advances with the monotonic clock while the server runs. Across a restart it advances by the wall
 * clock, at most by `longestDowntime` and never backwards: the time of a server's update counts towards an image's
 * expiry, and a machine that starts with a wrong date deletes only what would have expired within a day.
 */

import type { Database } from './db.ts';

const longestDowntime = 86_400_000;

export type TimeSource = { wall(): number; monotonic(): number };

const system: TimeSource = { wall: () => Date.now(), monotonic: () => performance.now() };

export class Clock {
  readonly #db: Database;
  readonly #source: TimeSource;
  /** This clock's time when the monotonic clock showed `#origin`. */
  readonly #start: number;
  readonly #origin: number;

  constructor(db: Database, source: TimeSource = system) {
    this.#db = db;
    this.#source = source;
    this.#origin = source.monotonic();
    this.#start = this.#atStart(source.wall());
  }

  /** Whole milliseconds. */
  now(): number {
    return Math.floor(this.#start + this.#source.monotonic() - this.#origin);
  }

  /** Call periodically, and before the process ends. */
  save(): void {
    this.#db.run(
      `INSERT INTO clock (id, now, wall) VALUES (1, ?, ?)
       ON CONFLICT (id) DO UPDATE SET now = excluded.now, wall = excluded.wall`,
      ...[this.now(), Math.floor(this.#source.wall())],
    );
  }

  #atStart(wall: number): number {
    const saved = this.#db.get<{ now: number; wall: number }>('SELECT now, wall FROM clock');
    if (saved) return saved.now + clamp(wall - saved.wall);
    // A database of a version without this clock: its newest entry was written by the wall clock.
    const { newest } = this.#db.get<{ newest: number | null }>(
      'SELECT max(used) AS newest FROM (SELECT max(used) AS used FROM assets UNION SELECT max(used) FROM tasks)',
    )!;
    return newest === null ? wall : newest + clamp(wall - newest);
  }
}

function clamp(downtime: number): number {
  return Math.min(Math.max(downtime, 0), longestDowntime);
}
