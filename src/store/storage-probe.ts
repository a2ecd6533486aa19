/** Checks that the data directory is writable, for load balancers. */

import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RetouchError } from '../error.ts';
import type { Clock } from './clock.ts';
import { type StoreErrorCode, storeErrors } from './errors.ts';
import { reasonOf, writeSynced } from './files.ts';
import { remembered } from './remembered.ts';

/**
 * Milliseconds for which a result is cached: load balancers ask every second or two, and each check waits for the disk.
 */
const interval = 5000;
/** Bytes of the test file; a full file system still accepts empty files. */
const probeSize = 65_536;

export class StorageProbe {
  readonly #folder: string;
  readonly #clock: Clock;

  /** `folder` is inside the data directory. */
  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** A sentence without paths, or undefined when images and the database can be written. Never rejects. */
  readonly problem = remembered(interval, () => this.#look());

  async #look(): Promise<string | undefined> {
    const path = join(this.#folder, `.probe-${randomUUID()}`);
    try {
      // Tests the database with a write that is periodically due anyway.
      this.#clock.save();
      await writeSynced(path, randomBytes(probeSize));
      return undefined;
    } catch (error) {
      if (error instanceof RetouchError) return storeErrors[error.code as StoreErrorCode];
      return `The data directory cannot be written to: ${reasonOf(error)}.`;
    } finally {
      await rm(path, { force: true }).catch(() => {});
    }
  }
}
