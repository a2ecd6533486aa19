/** Byte arrays of queued and running tasks, `<folder>/<task>/<number>`, so that inputs are fetched only once. */

import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RetouchError } from '../error.ts';
import type { StoreErrorCode } from './errors.ts';
import { folderMode, reasonOf, writeSynced } from './files.ts';

export class InputStore {
  readonly #folder: string;
  /** Tasks that have inputs here. Most have none, and need no access to the disk. */
  readonly #kept = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws `inputWriteFailed`. */
  async write(task: string, files: readonly Uint8Array[]): Promise<void> {
    if (files.length === 0) return;
    const folder = join(this.#folder, task);
    this.#kept.add(task);
    try {
      // A task of this UUID may have begun and not been accepted before a crash.
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true, mode: folderMode });
      await Promise.all(files.map((bytes, index) => writeSynced(join(folder, String(index)), bytes)));
    } catch (error) {
      await this.remove(task).catch(() => {});
      const message = `The inputs of a task could not be stored: ${reasonOf(error)}.`;
      throw new RetouchError('inputWriteFailed' satisfies StoreErrorCode, message, {}, { cause: error });
    }
  }

  /** In the order they were written. Inputs of an earlier process are found by `keepOnly`. */
  async read(task: string): Promise<Uint8Array[]> {
    if (!this.#kept.has(task)) return [];
    const folder = join(this.#folder, task);
    const count = (await readdir(folder).catch(() => [])).length;
    return Promise.all(Array.from({ length: count }, (_, index) => readFile(join(folder, String(index)))));
  }

  async remove(task: string): Promise<void> {
    if (!this.#kept.has(task)) return;
    await rm(join(this.#folder, task), { recursive: true, force: true });
    this.#kept.delete(task);
  }

  /** Finds the inputs that an earlier process left, and removes those of other tasks. */
  async keepOnly(tasks: ReadonlySet<string>): Promise<void> {
    const found = await readdir(this.#folder).catch(() => []);
    const earlier = found.filter((task) => !this.#kept.has(task));
    for (const task of earlier) this.#kept.add(task);
    await Promise.all(earlier.filter((task) => !tasks.has(task)).map((task) => this.remove(task)));
  }
}
