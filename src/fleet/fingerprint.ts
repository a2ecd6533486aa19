/**
 * Tells whether two machines have the same files of a model. Reading 24 GB at every start would take minutes, so a large
 * file counts by its size and evenly spread samples: a fine-tune changes all of them, a cut download the size. It guards
 * against mistakes, not against someone who forges a file.
 */

import { createHash, type Hash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

const sampleSize = 64 * 1024;
const samples = 16;

/** The first 16 hexadecimal digits of a SHA-256; undefined when a file cannot be read. Folders count with all files but hidden ones. */
export async function fingerprint(paths: readonly string[]): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for (const path of paths) {
      for (const { name, file } of await filesOf(path)) await addFile(hash, name, file);
    }
  } catch {
    return undefined;
  }
  return hash.digest('hex').slice(0, 16);
}

/** Names are relative, with slashes: machines keep their models in different places. */
async function filesOf(path: string): Promise<{ name: string; file: string }[]> {
  if (!(await stat(path)).isDirectory()) return [{ name: basename(path), file: path }];
  const entries = await readdir(path, { withFileTypes: true });
  const visible = entries
    .filter(({ name }) => !name.startsWith('.'))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const nested = await Promise.all(visible.map(({ name }) => filesOf(join(path, name))));
  return nested.flatMap((files, index) =>
    files.map(({ name, file }) => {
      const own = visible[index]!.name;
      return { name: file === join(path, own) ? own : `${own}/${name}`, file };
    }),
  );
}

async function addFile(hash: Hash, name: string, path: string): Promise<void> {
  await using file = await open(path);
  const { size } = await file.stat();
  hash.update(`${name}\0${size}\0`);
  if (size <= samples * sampleSize) {
    hash.update(await file.readFile());
    return;
  }
  const buffer = Buffer.alloc(sampleSize);
  for (let index = 0; index < samples; index++) {
    const position = Math.floor((index * (size - sampleSize)) / (samples - 1));
    const { bytesRead } = await file.read(buffer, 0, sampleSize, position);
    hash.update(buffer.subarray(0, bytesRead));
  }
}
