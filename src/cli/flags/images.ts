/** The files that an edit reads and writes. */

import { randomUUID } from 'node:crypto';
import { access, constants, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { probeImage } from '../../engine/image/image-codec.ts';
import { RetouchError } from '../../error.ts';
import { cliError } from './arguments.ts';
import { formatOf, looksLikePicture } from './formats.ts';

export type Picture = { path: string; bytes: Uint8Array; width: number; height: number };

/** Throws `inputUnreadable`. */
export async function readPicture(path: string): Promise<Picture> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw cliError('inputUnreadable', `${path} cannot be read: ${reasonOf(error)}.`, error);
  });
  try {
    const { width, height } = await probeImage(bytes);
    return { path, bytes, width, height };
  } catch (error) {
    if (!(error instanceof RetouchError)) throw error;
    throw cliError('inputUnreadable', `${path}: ${error.message}`, error);
  }
}

/** `photo.jpg` → `photo.retouch.jpg`; a picture of another suffix becomes a PNG. */
export function defaultOutput(input: string): string {
  const suffix = extname(input);
  const stem = basename(input, suffix);
  return join(dirname(input), `${stem}.retouch${looksLikePicture(input) ? suffix : '.png'}`);
}

/** Checked before minutes of computing. Throws `outputUnusable`. */
export async function checkOutput(
  path: string,
  inputs: readonly string[],
  overwrite: boolean,
): Promise<void> {
  formatOf(path);
  const refuse = (why: string) => cliError('outputUnusable', `${path} ${why}`);
  const real = await realpath(path).catch(() => undefined);
  for (const input of inputs) {
    if (real !== undefined && real === (await realpath(input).catch(() => undefined))) {
      throw refuse('is the picture to edit, which is never overwritten; choose another name.');
    }
  }
  if (real !== undefined) {
    if (!(await stat(real)).isFile()) throw refuse('exists and is not a file.');
    if (!overwrite) throw refuse('exists; --force overwrites it, -o chooses another name.');
  }
  await access(dirname(path), constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw refuse(`cannot be written: its folder ${dirname(path)} gives '${reasonOf(error)}'.`);
  });
}

/** Writes a temporary file and renames it, so that no reader sees a partial image. */
export async function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.part`);
  try {
    await writeFile(part, bytes);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    const reason = reasonOf(error as NodeJS.ErrnoException);
    throw cliError('outputUnusable', `${path} cannot be written: ${reason}.`, error);
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such file or folder',
    EACCES: 'it is not permitted',
    EISDIR: 'it is a folder',
    ENOSPC: 'the disk is full',
    EROFS: 'the disk is read-only',
  };
  return (code && reasons[code]) ?? code ?? message;
}
