import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RetouchError } from '../error.ts';
import { type Asset, type AssetFormat, type AssetStore, assetFormats } from './assets.ts';
import type { StoreErrorCode } from './errors.ts';
import { reasonOf, writeSynced } from './files.ts';

/** Pictures as files: `<folder>/3f/3f0c5c8e-….png`. */
export class FileAssetStore implements AssetStore {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws `dataDirectoryUnusable`. */
  static async open(folder: string): Promise<FileAssetStore> {
    const probe = join(folder, `.probe-${randomUUID()}`);
    try {
      await mkdir(folder, { recursive: true });
      await writeSynced(probe, new Uint8Array());
      await rm(probe);
    } catch (error) {
      const message = `The data directory ${folder} cannot be written to: ${reasonOf(error)}.`;
      throw storeError('dataDirectoryUnusable', message, error);
    }
    return new FileAssetStore(folder);
  }

  async put({ uuid, format, bytes }: Asset): Promise<void> {
    const path = this.#path(uuid, format);
    const draft = `${path}.${randomUUID()}.tmp`;
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeSynced(draft, bytes);
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      const message = `A picture of ${bytes.length} bytes could not be stored: ${reasonOf(error)}.`;
      throw storeError('assetWriteFailed', message, error);
    }
  }

  async get(uuid: string): Promise<Asset | undefined> {
    if (!isUuid(uuid)) return undefined;
    for (const format of assetFormats) {
      const bytes = await readIfThere(this.#path(uuid, format));
      if (bytes) return { uuid: uuid.toLowerCase(), format, bytes };
    }
    return undefined;
  }

  async delete(uuid: string): Promise<void> {
    if (!isUuid(uuid)) return;
    await Promise.all(assetFormats.map((format) => rm(this.#path(uuid, format), { force: true })));
  }

  #path(uuid: string, format: AssetFormat): string {
    const name = uuid.toLowerCase();
    return join(this.#folder, name.slice(0, 2), `${name}.${format}`);
  }
}

/** Paths are made of UUIDs and nothing else, so that none leads out of the folder. */
function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
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
