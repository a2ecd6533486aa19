/** Downloads files of a repository into a folder, several at a time. */

import { mkdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../bytes.ts';
import { download } from './download.ts';
import { type HubFile, hubError, type Origin } from './hub.ts';

export type PullOptions = {
  signal: AbortSignal;
  /** Called with the downloaded bytes of a file after each change. */
  onSize(file: HubFile, bytes: number): void;
  parallel?: number;
  pause?: number;
  /** Free bytes on the disk of a folder; tests replace it. */
  freeBytes?: (folder: string) => Promise<number>;
};

/** Bytes that must stay free on the disk for other programs. */
const reserve = 256 * 2 ** 20;

/** Throws `diskFull` before anything is downloaded, and the errors of `download`; downloaded bytes stay. */
export async function pull(
  origin: Origin,
  { files, folder }: { files: readonly HubFile[]; folder: string },
  options: PullOptions,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await checkRoom(files, folder, options.freeBytes ?? freeBytes);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const left = [...files].sort((a, b) => a.size - b.size);
  let failure: unknown;
  const work = async () => {
    for (let file = left.shift(); file !== undefined && !signal.aborted; file = left.shift()) {
      const target = file;
      const onSize = (bytes: number) => options.onSize(target, bytes);
      const { pause } = options;
      try {
        await download(
          origin,
          { file: target, destination: join(folder, target.path) },
          {
            signal,
            onSize,
            ...(pause === undefined ? {} : { pause }),
          },
        );
      } catch (error) {
        // This failure stopped the others, whose errors are only its consequence.
        failure ??= error;
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: options.parallel ?? 3 }, work));
  if (failure !== undefined) throw failure;
  options.signal.throwIfAborted();
}

async function checkRoom(
  files: readonly HubFile[],
  folder: string,
  freeBytes: (folder: string) => Promise<number>,
): Promise<void> {
  let needed = 0;
  for (const { path, size } of files) {
    const there = Math.max(await sizeOf(join(folder, path)), await sizeOf(join(folder, `${path}.partial`)));
    needed += Math.max(size - there, 0);
  }
  const free = await freeBytes(folder);
  if (needed + reserve <= free || needed === 0) return;
  throw hubError(
    'diskFull',
    `The download needs ${formatBytes(needed)} and ${formatBytes(reserve)} to spare, but the disk of ${folder} has ${formatBytes(free)} left.`,
  );
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
