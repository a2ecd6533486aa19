/** Durable writes of files. */

import { open } from 'node:fs/promises';

/** Only the user that runs the server may read images, prompts and results. */
export const fileMode = 0o600;
export const folderMode = 0o700;

/** Complete on the disk once it resolves; the file must not exist. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', fileMode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The reason why a file could not be written, to follow a colon. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' ? 'the disk is full' : (code ?? message);
}
