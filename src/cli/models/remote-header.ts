/** Reads the headers of weight files on a hub before they are downloaded. */

import { mkdir, open, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RetouchError } from '../../error.ts';
import type { Hub, HubFile, HubRepository, Origin } from '../../store/hub.ts';

const weights = /\.(safetensors|gguf)$/;
/** Headers are hundreds of kilobytes; a GGUF's may hold a vocabulary. */
const [firstPiece, largestPiece] = [2 ** 20, 64 * 2 ** 20];

/**
 * Reads the beginning of every weight file to be downloaded and refuses unsupported formats.
 *
 * @param folder temporary folder for the beginnings, which are deleted afterwards
 * @throws RetouchError `dtypeUnsupported`, and the errors of the hub
 */
export async function checkHeaders(
  origin: Origin,
  { files, folder }: { files: readonly HubFile[]; folder: string },
  signal: AbortSignal,
): Promise<void> {
  const { hub, repository } = origin;
  await mkdir(folder, { recursive: true });
  const { refuseUnreadableTypes } = await import('../../engine/weights/unreadable.ts');
  for (const file of files.filter(({ path }) => weights.test(path))) {
    const draft = join(folder, `.header-${basename(file.path)}`);
    try {
      const tensors = await readHeader(hub, repository, file, draft, signal);
      if (tensors) refuseUnreadableTypes(`${file.path} of ${repository.name}`, tensors);
    } finally {
      await rm(draft, { force: true });
    }
  }
}

/** Undefined where the header is longer than the part read; it is then checked after the download. */
async function readHeader(
  hub: Hub,
  repository: HubRepository,
  file: HubFile,
  draft: string,
  signal: AbortSignal,
) {
  const { openTensors } = await import('../../engine/weights/checkpoint.ts');
  for (let length = firstPiece; length <= largestPiece; length *= 8) {
    const bytes = await hub.readStart(repository, file, length, signal);
    const target = await open(draft, 'w');
    try {
      await target.write(bytes);
      // A sparse file of the full length that holds only the beginning, so that the reader's bounds checks pass.
      await target.truncate(file.size);
    } finally {
      await target.close();
    }
    try {
      const { tensors } = openTensors(draft);
      const start = Math.min(...[...tensors.values()].map(({ offset }) => offset));
      if (start <= bytes.length) return tensors;
    } catch (error) {
      if (!(error instanceof RetouchError)) throw error;
      if (bytes.length === file.size) return undefined;
    }
    if (bytes.length < Math.min(length, file.size)) return undefined;
  }
  return undefined;
}
