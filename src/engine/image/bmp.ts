/**
 * Windows bitmaps, which libvips as shipped with sharp does not read. Follows Microsoft's description of
 * BITMAPCOREHEADER to BITMAPV5HEADER: 1, 2, 4, 8, 16, 24 and 32 bits, palettes, bit fields, RLE4 and RLE8.
 */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { Bitmap } from './pixels.ts';

type Header = {
  width: number;
  height: number;
  /** The first row of the file is the top one; usually it is the bottom one. */
  topDown: boolean;
  bits: number;
  compression: 'none' | 'rle8' | 'rle4' | 'fields';
  /** Byte offset of the pixels from the start of the file. */
  offset: number;
  palette: Uint8Array;
  /** Bytes of a palette entry: blue, green, red and, but for the oldest header, one unused. */
  entry: 3 | 4;
  masks: readonly [red: number, green: number, blue: number, alpha: number];
};

const compressions = ['none', 'rle8', 'rle4', 'fields', undefined, undefined, 'fields'] as const;

/** @throws RetouchError `imageUndecodable` */
export function probeBmp(bytes: Uint8Array): { width: number; height: number } {
  const { width, height } = readHeader(viewOf(bytes), bytes);
  return { width, height };
}

/** @throws RetouchError `imageUndecodable` when it is damaged, cut short or of an unknown kind */
export function decodeBmp(bytes: Uint8Array): Bitmap {
  const view = viewOf(bytes);
  const header = readHeader(view, bytes);
  const { width, height, bits, topDown } = header;
  const data = new Uint8Array(width * height * 3).fill(255);
  const indices = header.compression.startsWith('rle') ? expandRuns(bytes, header) : undefined;
  // Rows are padded to four bytes.
  const stride = Math.ceil((width * bits) / 32) * 4;
  if (!indices && header.offset + stride * height > bytes.length) {
    throw undecodable(bytes, `${header.offset + stride * height} bytes are needed`);
  }
  for (let row = 0; row < height; row++) {
    const y = topDown ? row : height - 1 - row;
    const start = header.offset + row * stride;
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * 3;
      if (indices) setIndexed(data, to, indices[row * width + x]!, header);
      else if (bits <= 8) setIndexed(data, to, indexAt(bytes, start, x, bits), header);
      else if (bits === 24) setBgr(data, to, bytes, start + x * 3);
      else
        setMasked(
          data,
          to,
          bits === 16 ? view.getUint16(start + x * 2, true) : view.getUint32(start + x * 4, true),
          header,
        );
    }
  }
  return { width, height, data };
}

function readHeader(view: DataView, bytes: Uint8Array): Header {
  if (bytes.length < 26) throw undecodable(bytes, 'the header is cut short');
  const size = view.getUint32(14, true);
  if (bytes.length < 14 + size) throw undecodable(bytes, 'the header is cut short');
  const old = size === 12;
  if (!old && size < 40) throw undecodable(bytes, `its header has an unknown size of ${size} bytes`);
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const signed = old ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(old ? 24 : 28, true);
  const compression = compressions[old ? 0 : view.getUint32(30, true)];
  const known = { none: [1, 2, 4, 8, 16, 24, 32], rle8: [8], rle4: [4], fields: [16, 32] };
  if (compression === undefined || !known[compression].includes(bits)) {
    throw undecodable(
      bytes,
      `its compression ${old ? 0 : view.getUint32(30, true)} with ${bits} bits is not read`,
    );
  }
  if (width < 1 || signed === 0) throw undecodable(bytes, `its size is ${width}×${signed}`);
  const offset = view.getUint32(10, true);
  // A short header is followed by three masks, or four of the alpha-carrying kind; longer ones contain them.
  const masksEnd =
    size === 40 && compression === 'fields' ? 54 + (view.getUint32(30, true) === 6 ? 16 : 12) : 14 + size;
  if (masksEnd > bytes.length) throw undecodable(bytes, 'the header is cut short');
  const entry = old ? 3 : 4;
  const used = old ? 0 : view.getUint32(46, true);
  const entries = bits > 8 ? 0 : Math.min(used || 2 ** bits, 2 ** bits);
  return {
    width,
    height: Math.abs(signed),
    topDown: signed < 0,
    bits,
    compression,
    offset,
    palette: bytes.subarray(masksEnd, masksEnd + entries * entry),
    entry,
    masks: compression === 'fields' ? readMasks(view, masksEnd, size) : defaultMasks(bits),
  };
}

function readMasks(view: DataView, end: number, size: number): Header['masks'] {
  const alpha = size >= 56 || end === 70 ? view.getUint32(66, true) : 0;
  return [view.getUint32(54, true), view.getUint32(58, true), view.getUint32(62, true), alpha];
}

function defaultMasks(bits: number): Header['masks'] {
  return bits === 16 ? [0x7c00, 0x3e0, 0x1f, 0] : [0xff0000, 0xff00, 0xff, 0];
}

function indexAt(bytes: Uint8Array, start: number, x: number, bits: number): number {
  const perByte = 8 / bits;
  const byte = bytes[start + Math.floor(x / perByte)]!;
  return (byte >> (8 - bits * ((x % perByte) + 1))) & (2 ** bits - 1);
}

/** An index beyond the palette is black, as everywhere. */
function setIndexed(data: Uint8Array, to: number, index: number, { palette, entry }: Header): void {
  if (index === untouched) return;
  if ((index + 1) * entry <= palette.length) setBgr(data, to, palette, index * entry);
  else data.fill(0, to, to + 3);
}

function setBgr(data: Uint8Array, to: number, from: Uint8Array, at: number): void {
  data[to] = from[at + 2]!;
  data[to + 1] = from[at + 1]!;
  data[to + 2] = from[at]!;
}

/** Composited over white, like every transparent image here. */
function setMasked(data: Uint8Array, to: number, value: number, { masks }: Header): void {
  const alpha = masks[3] === 0 ? 1 : channel(value, masks[3]) / 255;
  for (let i = 0; i < 3; i++) data[to + i] = Math.round(255 + (channel(value, masks[i]!) - 255) * alpha);
}

/** The bits under the mask, stretched to 0 … 255. */
function channel(value: number, mask: number): number {
  if (mask === 0) return 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return Math.round((((value & mask) >>> shift) * 255) / most);
}

const untouched = 0xffff;

/** Expands runs to one index per pixel, in the order of the file's rows. Pixels that no run covers stay white. */
function expandRuns(bytes: Uint8Array, { width, height, offset, compression }: Header): Uint16Array {
  const indices = new Uint16Array(width * height).fill(untouched);
  const nibbles = compression === 'rle4';
  let [x, y, at] = [0, 0, offset];
  const put = (index: number) => {
    if (x < width && y < height) indices[y * width + x] = index;
    x++;
  };
  const pick = (byte: number, i: number) => (nibbles ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte);
  while (y < height) {
    if (at + 1 >= bytes.length) throw undecodable(bytes, `its rows end at ${y} of ${height}`);
    const count = bytes[at++]!;
    const value = bytes[at++]!;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(pick(value, i));
    } else if (value === 0) {
      x = 0;
      y++;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      x += bytes[at++] ?? 0;
      y += bytes[at++] ?? 0;
    } else {
      const length = nibbles ? Math.ceil(value / 2) : value;
      if (at + length > bytes.length) throw undecodable(bytes, `its rows end at ${y} of ${height}`);
      for (let i = 0; i < value; i++) put(pick(bytes[at + (nibbles ? i >> 1 : i)]!, i));
      // Literal runs are padded to two bytes.
      at += length + (length % 2);
    }
  }
  return indices;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function undecodable(bytes: Uint8Array, reason: string): RetouchError {
  return new EngineError(
    'imageUndecodable',
    `The image begins as a BMP does but cannot be decoded from its ${bytes.length} bytes (${reason}); a whole BMP is expected.`,
    { bytes: bytes.length, format: 'bmp', reason },
  );
}
