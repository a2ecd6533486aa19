/** Pictures that clients uploaded: whose they are and when they were used last. Their bytes are in the asset store. */

import type { Asset, AssetStore } from './assets.ts';
import type { Database } from './db.ts';

/** How often the time of a picture's last use is written, in milliseconds. */
const useInterval = 3_600_000;

export class UploadStore {
  readonly #db: Database;
  readonly #assets: AssetStore;

  constructor(db: Database, assets: AssetStore) {
    this.#db = db;
    this.#assets = assets;
  }

  /** Throws `assetWriteFailed` and what the database says of itself. */
  async add(asset: Asset, account: string, now = Date.now()): Promise<void> {
    // The row first: a crash between the two leaves a row to sweep, and no file that nobody knows.
    this.#db.transaction(
      () => {
        this.#db.run(
          'INSERT INTO uploads (uuid, account, created, used) VALUES (?, ?, ?, ?)',
          ...[asset.uuid, account, now, now],
        );
      },
      { durable: true },
    );
    try {
      await this.#assets.put(asset);
    } catch (error) {
      this.#forget(asset.uuid);
      throw error;
    }
  }

  has(uuid: string): boolean {
    return this.#db.get('SELECT 1 FROM uploads WHERE uuid = ?', uuid.toLowerCase()) !== undefined;
  }

  noteUse(uuid: string, now = Date.now()): void {
    this.#db.run(
      'UPDATE uploads SET used = ? WHERE uuid = ? AND used < ?',
      now,
      uuid.toLowerCase(),
      now - useInterval,
    );
  }

  /** An uploaded picture, or one that a task of the account made. False when the account has none of that UUID. */
  async remove(uuid: string, account: string): Promise<boolean> {
    const name = uuid.toLowerCase();
    const own = this.#db.get(
      `SELECT 1 FROM uploads WHERE uuid = ?1 AND account = ?2 UNION ALL
       SELECT 1 FROM results JOIN tasks ON tasks.uuid = results.task WHERE results.uuid = ?1 AND account = ?2`,
      ...[name, account],
    );
    if (!own || !(await this.#assets.get(name))) return false;
    await this.#assets.delete(name);
    this.#forget(name);
    return true;
  }

  /** Removes what was not used since; how many they were. */
  async sweep(usedBefore: number): Promise<number> {
    const old = this.#db.all<{ uuid: string }>('SELECT uuid FROM uploads WHERE used < ?', usedBefore);
    for (const { uuid } of old) {
      await this.#assets.delete(uuid);
      this.#forget(uuid);
    }
    return old.length;
  }

  #forget(uuid: string): void {
    this.#db.run('DELETE FROM uploads WHERE uuid = ?', uuid);
  }
}
