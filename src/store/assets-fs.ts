import { randomUUID } from 'node:crypto';
import { closeSync, fsync, mkdirSync, openSync, renameSync, statSync, write } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { RetouchError } from '../error.ts';
import {
  type Asset,
  type AssetFormat,
  type AssetStore,
  assetFormats,
  frontUrl,
  isUuid,
  type PutOptions,
} from './assets.ts';
import type { StoreErrorCode } from './errors.ts';
import { fileMode, folderMode, reasonOf, writeSynced } from './files.ts';
import { isOver, type Lifetimes } from './lifetimes.ts';

const writeSome = promisify(write);
const syncFile = promisify(fsync);

const draftEnding = '.tmp';

/** Images as files: `<folder>/3f/3f0c5c8e-….png`. */
export class FileAssetStore implements AssetStore {
  readonly #folder: string;
  readonly #lifetimes: Lifetimes;

  private constructor(folder: string, lifetimes: Lifetimes) {
    this.#folder = folder;
    this.#lifetimes = lifetimes;
  }

  /** Throws `dataDirectoryUnusable`. Removes temporary files of a process that ended before it renamed them. */
  static async open(folder: string, lifetimes: Lifetimes): Promise<FileAssetStore> {
    await probeFolder(folder);
    const drafts = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(draftEnding));
    await Promise.all(drafts.map((name) => rm(join(folder, name), { force: true })));
    const store = new FileAssetStore(folder, lifetimes);
    for (const uuid of lifetimes.unmeasured()) lifetimes.measure(uuid, store.#sizeOf(uuid) ?? 0);
    return store;
  }

  async put(
    { uuid, format, bytes, ttl, account }: Asset,
    { durable = false, quota }: PutOptions = {},
  ): Promise<void> {
    const path = this.#path(uuid, format);
    const draft = `${path}.${randomUUID()}${draftEnding}`;
    try {
      // Creating and renaming a file take microseconds; the way to another thread and back takes more.
      const file = create(draft);
      try {
        const written = writeAll(file, bytes);
        try {
          // Before the file has its final name: a lifetime without an image expires, an image without a lifetime never
          // would.
          this.#lifetimes.begin(uuid.toLowerCase(), { account, ttl, bytes: bytes.length, quota });
        } finally {
          await written;
        }
        renameSync(draft, path);
        // After the rename, so that one fsync covers both. No client learns of the image before this returns.
        await syncFile(file);
      } finally {
        closeSync(file);
      }
      if (durable) await this.#lifetimes.flush();
    } catch (error) {
      for (const each of [draft, path]) await rm(each, { force: true }).catch(() => {});
      if (error instanceof RetouchError) throw error;
      const message = `A picture of ${bytes.length} bytes could not be stored: ${reasonOf(error)}.`;
      throw storeError('assetWriteFailed', message, error);
    }
  }

  async get(uuid: string): Promise<Asset | undefined> {
    if (!isUuid(uuid)) return undefined;
    const name = uuid.toLowerCase();
    const lifetime = this.#lifetimes.find(name);
    if (isOver(lifetime)) return undefined;
    for (const format of assetFormats) {
      const bytes = await readIfThere(this.#path(name, format));
      if (!bytes) continue;
      return { uuid: name, format, bytes, ...this.#lifetimes.use(name, lifetime, bytes.length) };
    }
    return undefined;
  }

  async has(uuid: string): Promise<boolean> {
    const name = uuid.toLowerCase();
    return isUuid(uuid) && !isOver(this.#lifetimes.find(name)) && this.#sizeOf(name) !== undefined;
  }

  async delete(uuid: string): Promise<void> {
    if (!isUuid(uuid)) return;
    await Promise.all(assetFormats.map((format) => rm(this.#path(uuid, format), { force: true })));
    this.#lifetimes.end(uuid.toLowerCase());
  }

  async sweep(retention: number): Promise<void> {
    for (const uuid of this.#lifetimes.over(retention)) await this.delete(uuid);
  }

  async urlOf(uuid: string, format: AssetFormat, publicUrl: string): Promise<string> {
    return frontUrl(uuid, format, publicUrl);
  }

  /** Bytes; undefined for an image without a file. Like the creation of a file, it takes less than another thread would. */
  #sizeOf(name: string): number | undefined {
    for (const format of assetFormats) {
      const found = statSync(this.#path(name, format), { throwIfNoEntry: false });
      if (found) return found.size;
    }
    return undefined;
  }

  #path(uuid: string, format: AssetFormat): string {
    const name = uuid.toLowerCase();
    return join(this.#folder, name.slice(0, 2), `${name}.${format}`);
  }
}

/** Creates a file, and its folder if it is missing. */
function create(path: string): number {
  try {
    return openSync(path, 'wx', fileMode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(dirname(path), { recursive: true, mode: folderMode });
    return openSync(path, 'wx', fileMode);
  }
}

async function writeAll(file: number, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    offset += (await writeSome(file, bytes, offset)).bytesWritten;
  }
}

/** Throws `dataDirectoryUnusable` when nothing can be written there. */
export async function probeFolder(folder: string): Promise<void> {
  const probe = join(folder, `.probe-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true, mode: folderMode });
    await writeSynced(probe, new Uint8Array());
    await rm(probe);
  } catch (error) {
    const message = `The data directory ${folder} cannot be written to: ${reasonOf(error)}.`;
    throw storeError('dataDirectoryUnusable', message, error);
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function storeError(code: StoreErrorCode, message: string, cause: unknown): RetouchError {
  return new RetouchError(code, message, {}, { cause });
}
