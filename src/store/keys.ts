/** API keys that were made with `retouch keys add`. The database has their digests: a key is shown once. */

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { RetouchError } from '../error.ts';
import type { Database } from './db.ts';
import type { StoreErrorCode } from './errors.ts';

/** Times are milliseconds since 1970. */
export type StoredKey = { id: string; name: string; created: number; used: number | null };

export type KeyDigest = { id: string; digest: Uint8Array };

/** How often the time of a key's last use is written, in milliseconds. */
const useInterval = 60_000;

export class KeyStore {
  readonly #db: Database;
  readonly #noted = new Map<string, number>();

  constructor(db: Database) {
    this.#db = db;
  }

  /** Returns the key itself, which is not stored. Throws `keyTaken`. */
  add(name: string): { key: string; id: string } {
    // 256 random bits need no salt and no slow hash: they cannot be guessed.
    const key = `rt_${randomBytes(32).toString('base64url')}`;
    const id = randomUUID();
    return this.#db.transaction(
      () => {
        if (this.list().some((known) => known.name === name)) {
          throw storeError(
            'keyTaken',
            `There is a key named '${name}' already; revoke it or choose another name.`,
          );
        }
        const digest = digestOf(key);
        this.#db.run(
          'INSERT INTO keys (id, name, digest, created) VALUES (?, ?, ?, ?)',
          id,
          name,
          digest,
          Date.now(),
        );
        return { key, id };
      },
      { durable: true },
    );
  }

  /** Valid keys, the oldest first. */
  list(): StoredKey[] {
    return this.#db.all(
      'SELECT id, name, created, used FROM keys WHERE revoked IS NULL ORDER BY created, name',
    );
  }

  /** Revokes a key by name or id, from the next request on. Throws `keyUnknown`. */
  revoke(nameOrId: string): StoredKey {
    const key = this.list().find(({ id, name }) => id === nameOrId || name === nameOrId);
    if (!key) {
      const names = this.list().map(({ name }) => name);
      const there = names.length > 0 ? `there are ${names.join(', ')}` : 'there is none';
      throw storeError('keyUnknown', `There is no key named '${nameOrId.slice(0, 60)}'; ${there}.`);
    }
    this.#db.transaction(() => this.#db.run('UPDATE keys SET revoked = ? WHERE id = ?', Date.now(), key.id), {
      durable: true,
    });
    return key;
  }

  digests(): KeyDigest[] {
    return this.#db.all('SELECT id, digest FROM keys WHERE revoked IS NULL');
  }

  noteUse(id: string, now = Date.now()): void {
    if (now - (this.#noted.get(id) ?? 0) < useInterval) return;
    this.#noted.set(id, now);
    this.#db.run('UPDATE keys SET used = ? WHERE id = ?', now, id);
  }
}

/** SHA-256. */
export function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function storeError(code: StoreErrorCode, message: string): RetouchError {
  return new RetouchError(code, message);
}
