/** Whether the data directory takes writes, for whoever routes requests to this server. */

import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RetouchError } from '../error.ts';
import type { Clock } from './clock.ts';
import { type StoreErrorCode, storeErrors } from './errors.ts';
import { reasonOf, writeSynced } from './files.ts';

/** Milliseconds for which an answer is good: load balancers ask every second or two, and each look waits for the disk. */
const interval = 5000;
/** Bytes; a file system that is full still takes empty files. */
const probeSize = 65_536;

export class StorageProbe {
  readonly #folder: string;
  readonly #clock: Clock;
  #latest: { at: number; problem: Promise<string | undefined> } | undefined;

  /** `folder` is one of the data directory. */
  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** A sentence without paths, or undefined when images and the database can be written. Never rejects. */
  problem(): Promise<string | undefined> {
    const now = performance.now();
    if (!this.#latest || now - this.#latest.at >= interval) this.#latest = { at: now, problem: this.#look() };
    return this.#latest.problem;
  }

  async #look(): Promise<string | undefined> {
    const path = join(this.#folder, `.probe-${randomUUID()}`);
    try {
      // A write of the database that is due now and then anyhow.
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
