/**
 * Files below the folders that a client may use, and no others. A path is checked by its text first, so that no outside
 * file is accessed, and again after its symbolic links are resolved.
 */

import { randomUUID } from 'node:crypto';
import { constants, link, lstat, open, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from 'node:path';
import { mcpError } from './errors.ts';

/** Bytes of one picture, as the server's own default. */
const maxBytes = 32 * 2 ** 20;

const formats: Readonly<Record<string, string>> = {
  '.png': 'png',
  '.jpg': 'jpeg',
  '.jpeg': 'jpeg',
  '.webp': 'webp',
};

export class Roots {
  readonly #folders: readonly string[];

  /** Relative paths are of the first folder that has them. */
  constructor(folders: readonly string[]) {
    this.#folders = folders.map((folder) => resolve(folder));
  }

  /** Throws `pathRefused`, `fileUnreadable`. */
  async read(path: string): Promise<Buffer> {
    const errors: NodeJS.ErrnoException[] = [];
    for (const candidate of this.#candidates(path)) {
      const real = await realpath(candidate).catch((error) => {
        errors.push(error);
        return undefined;
      });
      if (real === undefined) continue;
      await this.#checkReal(real, path);
      return readWhole(real, path);
    }
    throw unreadable(path, errors[0]!);
  }

  /**
   * Where a picture is to be written, asked before it is made: in a folder that exists, under a name that does not. Throws
   * `pathRefused`, `fileUnwritable`.
   */
  async checkTarget(path: string): Promise<{ path: string; format: string }> {
    const format = formats[extname(path).toLowerCase()];
    if (!format) {
      const expected = Object.keys(formats).join(', ');
      throw mcpError(
        'fileUnwritable',
        `${short(path)} has no ending of a picture; expected one of ${expected}.`,
      );
    }
    const [candidate] = this.#candidates(path);
    const folder = await realpath(dirname(candidate!)).catch((error: NodeJS.ErrnoException) => {
      throw unwritable(path, `its folder gives ${error.code}`, error);
    });
    await this.#checkReal(folder, path);
    const target = join(folder, basename(candidate!));
    const exists = await lstat(target).then(
      () => true,
      () => false,
    );
    if (exists) throw unwritable(path, 'it exists, and nothing is overwritten; choose another name');
    return { path: target, format };
  }

  /** Writes a file atomically to a path that `checkTarget` returned. Throws `fileUnwritable`. */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    const part = join(dirname(path), `.${randomUUID()}.part`);
    try {
      await writeFile(part, bytes, { flag: 'wx' });
      // Fails where a rename would overwrite, and follows no symbolic link.
      await link(part, path);
    } catch (error) {
      throw unwritable(path, String((error as NodeJS.ErrnoException).code), error);
    } finally {
      await rm(part, { force: true });
    }
  }

  /** Absolute paths below the folders by their text. */
  #candidates(path: string): string[] {
    if (this.#folders.length === 0) {
      const message = `${short(path)} is a path, and no folder is allowed; start with --root FOLDER, or use a client that offers roots.`;
      throw mcpError('pathRefused', message);
    }
    const bases = isAbsolute(path) ? ['/'] : this.#folders;
    const candidates = bases.map((base) => resolve(base, path));
    const inside = candidates.filter((candidate) =>
      this.#folders.some((folder) => isBelow(candidate, folder)),
    );
    if (inside.length > 0 && !path.includes('\0')) return inside;
    throw this.#outside(path);
  }

  async #checkReal(real: string, path: string): Promise<void> {
    for (const folder of this.#folders) {
      const realFolder = await realpath(folder).catch(() => undefined);
      if (realFolder !== undefined && isBelow(real, realFolder)) return;
    }
    throw this.#outside(path);
  }

  #outside(path: string) {
    const message = `${short(path)} leads outside the allowed folders; expected a path below ${this.#folders.join(' or ')}.`;
    return mcpError('pathRefused', message);
  }
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!isAbsolute(way) && way.split(/[\\/]/, 1)[0] !== '..');
}

/** A link, a pipe or a device that took the file's place since is not followed or waited for. */
async function readWhole(real: string, path: string): Promise<Buffer> {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  const file = await open(real, flags).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(path, error);
  });
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw mcpError('fileUnreadable', `${short(path)} is not a file.`);
    if (facts.size > maxBytes) {
      const message = `${short(path)} has ${facts.size} bytes; expected at most ${maxBytes}.`;
      throw mcpError('fileUnreadable', message);
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function unreadable(path: string, error: NodeJS.ErrnoException) {
  return mcpError('fileUnreadable', `${short(path)} cannot be read: ${error.code ?? error.message}.`, error);
}

function unwritable(path: string, reason: string, cause?: unknown) {
  return mcpError('fileUnwritable', `${short(path)} cannot be written: ${reason}.`, cause);
}

function short(path: string): string {
  return path.length > 200 ? `${path.slice(0, 200)}…` : path;
}
