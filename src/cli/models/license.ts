/** The text of a repository's licence, shown before the download. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HubFile, Origin } from '../../store/hub.ts';
import { pull } from '../../store/pull.ts';

/** Throws `hubGated` where the terms must be accepted on the hub first. */
export async function readLicense(
  origin: Origin,
  { files, folder }: { files: readonly HubFile[]; folder: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const file = files.find(({ path }) => /^LICENSE/i.test(path));
  if (!file) return undefined;
  await pull(origin, { files: [file], folder }, { signal, onSize: () => {} });
  return readFile(join(folder, file.path), 'utf8');
}
