/** Writing files so that they are there. */

import { open } from 'node:fs/promises';

/** Images, prompts and results are for the account that runs the server and for no other user of the machine. */
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

/** Why a file could not be written, in words that stand after a colon. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' ? 'the disk is full' : (code ?? message);
}
