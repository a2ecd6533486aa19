import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, fsync, mkdirSync, openSync, renameSync, write } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { RetouchError } from '../error.ts';
import { type Asset, type AssetFormat, type AssetStore, assetFormats } from './assets.ts';
import type { StoreErrorCode } from './errors.ts';
import { fileMode, folderMode, reasonOf, writeSynced } from './files.ts';
import type { Lifetimes } from './lifetimes.ts';

const writeSome = promisify(write);
const syncFile = promisify(fsync);

const draftEnding = '.tmp';

/** Pictures as files: `<folder>/3f/3f0c5c8e-….png`. */
export class FileAssetStore implements AssetStore {
  readonly #folder: string;
  readonly #lifetimes: Lifetimes;

  private constructor(folder: string, lifetimes: Lifetimes) {
    this.#folder = folder;
    this.#lifetimes = lifetimes;
  }

  /** Throws `dataDirectoryUnusable`. Drafts of an earlier process, which ended before it named them, go. */
  static async open(folder: string, lifetimes: Lifetimes): Promise<FileAssetStore> {
    await probeFolder(folder);
    const drafts = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(draftEnding));
    await Promise.all(drafts.map((name) => rm(join(folder, name), { force: true })));
    return new FileAssetStore(folder, lifetimes);
  }

  async put({ uuid, format, bytes, expires, account }: Asset, { durable = false } = {}): Promise<void> {
    const path = this.#path(uuid, format);
    const draft = `${path}.${randomUUID()}${draftEnding}`;
    try {
      // Making and naming a file takes microseconds; handing it to another thread and back takes more.
      const file = create(draft);
      try {
        const written = writeAll(file, bytes);
        try {
          // Before the picture has its name: a lifetime without a picture ends by itself, a picture without one never would.
          this.#lifetimes.begin(uuid.toLowerCase(), Date.now(), { expires, account });
        } finally {
          await written;
        }
        renameSync(draft, path);
        // After the naming, so that one wait for the disk is for both. Before it ends nobody knows of the picture.
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

  async has(uuid: string): Promise<boolean> {
    if (!isUuid(uuid)) return false;
    const expires = this.#lifetimes.find(uuid.toLowerCase())?.expires;
    if (typeof expires === 'number' && expires <= Date.now()) return false;
    return assetFormats.some((format) => existsSync(this.#path(uuid, format)));
  }

  async get(uuid: string): Promise<Asset | undefined> {
    if (!isUuid(uuid)) return undefined;
    const name = uuid.toLowerCase();
    const lifetime = this.#lifetimes.find(name);
    const expires = lifetime?.expires ?? undefined;
    if (expires !== undefined && expires <= Date.now()) return undefined;
    for (const format of assetFormats) {
      const bytes = await readIfThere(this.#path(name, format));
      if (!bytes) continue;
      // A file that a lost database does not know is taken in again.
      if (lifetime) this.#lifetimes.touch(name, Date.now());
      else this.#lifetimes.begin(name, Date.now());
      const account = lifetime?.account ?? undefined;
      return {
        ...{ uuid: name, format, bytes },
        ...(expires === undefined ? {} : { expires }),
        ...(account === undefined ? {} : { account }),
      };
    }
    return undefined;
  }

  async delete(uuid: string): Promise<void> {
    if (!isUuid(uuid)) return;
    await Promise.all(assetFormats.map((format) => rm(this.#path(uuid, format), { force: true })));
    this.#lifetimes.end(uuid.toLowerCase());
  }

  async sweep(unusedSince: number): Promise<void> {
    for (const uuid of this.#lifetimes.over(Date.now(), unusedSince)) await this.delete(uuid);
  }

  #path(uuid: string, format: AssetFormat): string {
    const name = uuid.toLowerCase();
    return join(this.#folder, name.slice(0, 2), `${name}.${format}`);
  }
}

/** A new file, and the folder for it where there is none yet. */
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

/** Paths are made of UUIDs and nothing else, so that none leads out of the folder. */
function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
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
