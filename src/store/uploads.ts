/** Whose the pictures are that clients uploaded. They are kept as all pictures are, until long after their last use. */

import type { Asset, AssetStore } from './assets.ts';
import type { Database } from './db.ts';

export class UploadStore {
  readonly #db: Database;
  readonly #assets: AssetStore;

  constructor(db: Database, assets: AssetStore) {
    this.#db = db;
    this.#assets = assets;
  }

  /** Not undone by a power failure either. Throws `assetWriteFailed` and what the database says of itself. */
  async add(asset: Asset, account: string): Promise<void> {
    await this.#assets.put(asset);
    this.#db.transaction(
      () => this.#db.run('INSERT INTO uploads (uuid, account) VALUES (?, ?)', asset.uuid, account),
      { durable: true },
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
    return true;
  }
}
