/**
 * Downloads one file of a hub. The file is written to `NAME.partial`; `NAME.partial.json` identifies the version, so
 * that a later process can resume the download. It is renamed after its hash was verified.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { backOff } from '../back-off.ts';
import { RetouchError } from '../error.ts';
import type { Stream } from '../net/fetch.ts';
import { type Hub, type HubFile, type HubRepository, hubError, type Origin } from './hub.ts';

export type DownloadOptions = {
  signal: AbortSignal;
  /** Called with the number of bytes on the disk, at the start and after each change. */
  onSize(bytes: number): void;
  /** Milliseconds before the second attempt, doubled with each attempt without progress. */
  pause?: number;
};

/** Consecutive attempts without progress before it gives up. */
const mostFutile = 5;
const longestPause = 30_000;

/**
 * Throws `hashMismatch`, `diskFull`, `hubGated`, `hubNotFound`, and after several attempts `hubRefused` and those of the
 * network.
 */
export async function download(
  { hub, repository }: Origin,
  { file, destination }: { file: HubFile; destination: string },
  options: DownloadOptions,
): Promise<void> {
  const partial = `${destination}.partial`;
  if ((await sizeOf(destination)) === file.size) return options.onSize(file.size);
  await mkdir(dirname(destination), { recursive: true });
  const { pause = 1000, signal } = options;
  let futile = 0;
  for (;;) {
    const before = await beginning(partial, file);
    options.onSize(before);
    if (before === file.size && (await isThere(partial))) break;
    try {
      await attempt(hub, repository, file, partial, before, options);
      futile = 0;
    } catch (error) {
      if (!isPassing(error)) throw error;
      futile = (await beginning(partial, file)) > before ? 0 : futile + 1;
      if (futile >= mostFutile) throw error;
      await wait(backOff(futile, pause, longestPause), undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
  await verify(partial, file, repository, signal);
  await rename(partial, destination);
  await rm(`${partial}.json`, { force: true });
}

/** Reads the missing bytes until the answer ends, possibly early. */
async function attempt(
  hub: Hub,
  repository: HubRepository,
  file: HubFile,
  partial: string,
  before: number,
  { signal, onSize }: DownloadOptions,
): Promise<void> {
  const answer = await hub.open(repository, file, { offset: before, etag: await etagOf(partial) }, signal);
  try {
    const from = await startOf(answer, before, partial, () =>
      hub.explain(repository.name, answer, `${file.path} of ${repository.name}`),
    );
    const { etag } = answer.headers;
    await writeFile(`${partial}.json`, JSON.stringify({ hash: file.hash.hex, etag }));
    const target = await open(partial, from === 0 ? 'w' : 'r+');
    try {
      let at = from;
      onSize(at);
      for await (const piece of answer.body) {
        if (at + piece.length > file.size)
          throw hubError('hubRefused', `${file.path} is longer than the ${file.size} bytes announced.`);
        await target.write(piece, 0, piece.length, at);
        at += piece.length;
        onSize(at);
      }
      if (at < file.size)
        throw hubError('hubRefused', `${file.path} ended after ${at} of ${file.size} bytes.`);
    } finally {
      await target.close();
    }
  } catch (error) {
    throw explainDisk(error, partial);
  } finally {
    answer.close();
  }
}

/**
 * The offset of the body's first byte: the requested one, or 0 when the server does not support ranges or the file
 * changed.
 */
async function startOf(
  { status, headers }: Stream,
  offset: number,
  partial: string,
  explain: () => Promise<RetouchError>,
): Promise<number> {
  if (status === 200) return 0;
  const start = Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1] ?? Number.NaN);
  if (status === 206 && start === offset) return offset;
  if (status === 206 || status === 416) {
    await discard(partial);
    throw hubError(
      'hubRefused',
      `The server gave another part of the file than the one from byte ${offset}.`,
    );
  }
  const error = await explain();
  const isBusy = status === 408 || status === 429 || status >= 500;
  throw isBusy ? error : new RetouchError(error.code, error.message, { final: true });
}

/** Whether a retry may help. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof RetouchError) || error.details.final === true) return false;
  return ['hubRefused', 'connectFailed', 'fetchTimeout', 'hostNotFound'].includes(error.code);
}

/** The number of bytes to resume from; a partial file of another version is deleted. */
async function beginning(partial: string, file: HubFile): Promise<number> {
  const size = await sizeOf(partial);
  if (size === undefined) return 0;
  const { hash } = await readState(partial);
  if (hash === file.hash.hex && size <= file.size) return size;
  await discard(partial);
  return 0;
}

async function discard(partial: string): Promise<void> {
  await rm(partial, { force: true });
  await rm(`${partial}.json`, { force: true });
}

async function verify(
  partial: string,
  { path, size, hash }: HubFile,
  { name }: HubRepository,
  signal: AbortSignal,
): Promise<void> {
  const digest = createHash(hash.algorithm === 'sha256' ? 'sha256' : 'sha1');
  if (hash.algorithm === 'git-sha1') digest.update(`blob ${size}\0`);
  for await (const piece of createReadStream(partial, { highWaterMark: 1 << 20, signal }))
    digest.update(piece);
  const found = digest.digest('hex');
  if (found === hash.hex) return;
  await discard(partial);
  throw hubError(
    'hashMismatch',
    `${path} of ${name} arrived with the ${hash.algorithm} ${found}, expected ${hash.hex}; it was thrown away.`,
  );
}

async function etagOf(partial: string): Promise<string | undefined> {
  const { etag } = await readState(partial);
  return typeof etag === 'string' && !etag.startsWith('W/') ? etag : undefined;
}

async function readState(partial: string): Promise<{ hash?: unknown; etag?: unknown }> {
  try {
    return JSON.parse(await readFile(`${partial}.json`, 'utf8')) ?? {};
  } catch {
    return {};
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function isThere(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}

function explainDisk(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return hubError('diskFull', `The disk is full: ${path} cannot grow. What is there stays.`, error);
}
