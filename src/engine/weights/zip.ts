/**
 * Offsets of the entries of an uncompressed zip: torch.save packs tensors into one, each a byte range of the file.
 * Source: PKWARE APPNOTE.TXT, with the 64-bit records that files above 4 GiB have.
 */
import fs from 'node:fs';
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import { truncated } from './stored.ts';

export type ZipEntry = { offset: number; length: number };

const [endSize, locatorSize, end64Size, headerSize, localSize] = [22, 20, 56, 46, 30];
/** A comment may follow the end record. */
const longestTail = endSize + 0xffff;
const largestDirectory = 64 * 2 ** 20;

/** @throws RetouchError `checkpointTruncated` without a directory at the end, `checkpointInvalid` when it contradicts itself */
export function readZip(path: string, fd: number): Map<string, ZipEntry> {
  const { size } = fs.fstatSync(fd);
  const read = (offset: number, length: number): Buffer => {
    if (length > largestDirectory || offset < 0 || offset + length > size)
      throw invalid(path, `its directory names ${length} bytes at ${offset}, and it has ${size}`);
    const bytes = Buffer.alloc(length);
    fs.readSync(fd, bytes, 0, length, offset);
    return bytes;
  };
  const tail = read(Math.max(size - longestTail, 0), Math.min(size, longestTail));
  const end = tail.lastIndexOf('PK\x05\x06', tail.length - endSize, 'latin1');
  if (end < 0) throw truncated(path, size, size + endSize);
  let length = tail.readUInt32LE(end + 12);
  let offset = tail.readUInt32LE(end + 16);
  const locator = end - locatorSize;
  if (locator >= 0 && tail.toString('latin1', locator, locator + 4) === 'PK\x06\x07') {
    const end64 = read(Number(tail.readBigUInt64LE(locator + 8)), end64Size);
    length = Number(end64.readBigUInt64LE(40));
    offset = Number(end64.readBigUInt64LE(48));
  }
  const entries = new Map<string, ZipEntry>();
  const directory = read(offset, length);
  for (let at = 0; at + headerSize <= directory.length; ) {
    if (directory.toString('latin1', at, at + 4) !== 'PK\x01\x02')
      throw invalid(path, `its directory breaks at byte ${offset + at}`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      directory.readUInt16LE(at + field),
    ) as [number, number, number];
    const name = directory.toString('utf8', at + headerSize, at + headerSize + nameLength);
    if (directory.readUInt16LE(at + 10) !== 0) throw invalid(path, `its entry ${name} is compressed`);
    const extra = directory.subarray(
      at + headerSize + nameLength,
      at + headerSize + nameLength + extraLength,
    );
    const sizes = wideFields(
      extra,
      [20, 24, 42].map((field) => directory.readUInt32LE(at + field)),
    );
    const [stored, , header] = sizes as [number, number, number];
    // The entry's own header has extra fields of another length: torch aligns tensors with them.
    const local = read(header, localSize);
    const start = header + localSize + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (start + stored > size) throw truncated(path, size, start + stored);
    entries.set(name, { offset: start, length: stored });
    at += headerSize + nameLength + extraLength + commentLength;
  }
  return entries;
}

/** Sizes and the offset that are all ones have 64-bit values in extra field 1, in the order size, compressed size, offset. */
function wideFields(extra: Buffer, [compressed, size, offset]: number[]): number[] {
  const narrow = [size!, compressed!, offset!];
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue;
    let field = at + 4;
    for (const [i, value] of narrow.entries()) {
      if (value !== 0xffffffff || field + 8 > extra.length) continue;
      narrow[i] = Number(extra.readBigUInt64LE(field));
      field += 8;
    }
  }
  return [narrow[1]!, narrow[0]!, narrow[2]!];
}

function invalid(path: string, what: string): RetouchError {
  return new EngineError('checkpointInvalid', `${path} is no checkpoint: ${what}`, { path });
}
