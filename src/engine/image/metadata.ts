/**
 * Text inside encoded images: PNG text chunks (PNG specification, 11.3.3), and EXIF in WebP (RFC 9649, 2.7) and JPEG
 * (CIPA DC-008, 4.7.2).
 * Text is placed where other programs read it: Automatic1111 and its successors read the PNG keyword `parameters` and
 * EXIF's UserComment.
 */
import { crc32 } from 'node:zlib';
import type { EncodedImage } from './formats.ts';

export type ImageTexts = {
  /** For people and other programs. */
  parameters: string;
  /** ASCII. */
  json: string;
};

const jsonKeyword = 'retouch';

export function embedTexts(image: EncodedImage, texts: ImageTexts): EncodedImage {
  if (image.format === 'png') return { ...image, bytes: embedInPng(image.bytes, texts) };
  if (image.format === 'webp') return { ...image, bytes: embedInWebp(image, texts) };
  return { ...image, bytes: embedInJpeg(image.bytes, texts) };
}

/** The JSON that `embedTexts` put into an image, if it is one and has it. */
export function readJson(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.toString('latin1', 0, 8) === pngSignature) return readFromPng(buffer);
  if (buffer.length > 2 && buffer.readUInt16BE(0) === jpegStart) return readFromJpeg(buffer);
  return buffer.toString('latin1', 8, 12) === 'WEBP' ? readFromWebp(buffer) : undefined;
}

const pngSignature = '\x89PNG\r\n\x1a\n';
/** Signature and IHDR, which text chunks may follow. */
const pngHeaderEnd = 33;

function embedInPng(bytes: Uint8Array, { parameters, json }: ImageTexts): Uint8Array {
  const chunks = [pngText('parameters', parameters), pngText(jsonKeyword, json)];
  return Buffer.concat([bytes.subarray(0, pngHeaderEnd), ...chunks, bytes.subarray(pngHeaderEnd)]);
}

/** tEXt is Latin-1, which more programs read; iTXt is UTF-8. */
function pngText(keyword: string, text: string): Buffer {
  const isLatin1 = Buffer.from(text, 'latin1').toString('latin1') === text;
  return isLatin1
    ? pngChunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'))
    : pngChunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text)]));
}

function pngChunk(type: string, data: Uint8Array): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 'latin1');
  chunk.set(data, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

function readFromPng(bytes: Buffer): string | undefined {
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const prefix = `tEXt${jsonKeyword}\0`;
    if (bytes.toString('latin1', at + 4, at + 4 + prefix.length) === prefix)
      return bytes.toString('latin1', at + 4 + prefix.length, at + 8 + length);
    at += 12 + length;
  }
  return undefined;
}

function embedInWebp({ bytes, width, height }: EncodedImage, texts: ImageTexts): Uint8Array {
  const chunks = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(12);
  const isExtended = chunks.toString('latin1', 0, 4) === 'VP8X';
  const header = Buffer.alloc(10);
  if (isExtended) chunks.copy(header, 0, 8, 18);
  // A lossless image has a flag for transparency (RFC 9649, 3.4), which VP8X must repeat.
  if (chunks.toString('latin1', 0, 4) === 'VP8L' && (chunks[12]! & 0x10) !== 0) header[0]! |= alphaFlag;
  header[0]! |= exifFlag;
  header.writeUIntLE(width - 1, 4, 3);
  header.writeUIntLE(height - 1, 7, 3);
  const body = Buffer.concat([
    Buffer.from('WEBP'),
    riffChunk('VP8X', header),
    isExtended ? chunks.subarray(18) : chunks,
    riffChunk('EXIF', makeExif(texts)),
  ]);
  return riffChunk('RIFF', body);
}

const exifFlag = 0x08;
const alphaFlag = 0x10;

function riffChunk(type: string, data: Uint8Array): Buffer {
  const chunk = Buffer.alloc(8 + data.length + (data.length % 2));
  chunk.write(type, 0, 'latin1');
  chunk.writeUInt32LE(data.length, 4);
  chunk.set(data, 8);
  return chunk;
}

function readFromWebp(bytes: Buffer): string | undefined {
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    if (bytes.toString('latin1', at, at + 4) === 'EXIF')
      return readDescription(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length + (length % 2);
  }
  return undefined;
}

const jpegStart = 0xffd8;
const [app0, app1, startOfScan] = [0xffe0, 0xffe1, 0xffda];
const exifName = 'Exif\0\0';
/** Its length counts itself. */
const largestSegment = 0xffff - 2;

/** Inserts texts after JFIF's header, where readers expect them. Beyond 64 KiB first `parameters` is dropped, then the JSON. */
function embedInJpeg(bytes: Uint8Array, texts: ImageTexts): Uint8Array {
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = [texts, { ...texts, parameters: '' }]
    .map((some) => Buffer.concat([Buffer.from(exifName), makeExif(some)]))
    .find(({ length }) => length <= largestSegment);
  if (!data) return bytes;
  const header = Buffer.alloc(4);
  header.writeUInt16BE(app1, 0);
  header.writeUInt16BE(2 + data.length, 2);
  const at = image.readUInt16BE(2) === app0 ? 4 + image.readUInt16BE(4) : 2;
  return Buffer.concat([image.subarray(0, at), header, data, image.subarray(at)]);
}

function readFromJpeg(bytes: Buffer): string | undefined {
  for (let at = 2; at + 4 <= bytes.length; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes.readUInt16BE(at);
    // Behind the headers of an image there is no text of ours.
    if (marker < 0xff00 || marker === startOfScan) return undefined;
    const data = bytes.subarray(at + 4, at + 2 + bytes.readUInt16BE(at + 2));
    if (marker === app1 && data.toString('latin1', 0, exifName.length) === exifName)
      return readDescription(data.subarray(exifName.length));
  }
  return undefined;
}

const tags = { description: 0x010e, software: 0x0131, exif: 0x8769, comment: 0x9286 } as const;
const types = { ascii: 2, long: 4, undefined: 7 } as const;
type Field = { tag: number; type: number; data: Buffer };

/** Two directories of TIFF, big-endian: the JSON in ImageDescription, the parameters in UserComment. */
function makeExif({ parameters, json }: ImageTexts): Buffer {
  const comment = Buffer.concat([Buffer.from('UNICODE\0'), Buffer.from(parameters, 'utf16le').swap16()]);
  const main = [
    { tag: tags.description, type: types.ascii, data: Buffer.from(`${json}\0`, 'latin1') },
    { tag: tags.software, type: types.ascii, data: Buffer.from('Retouch\0') },
  ];
  const start = 8;
  const pointer = (offset: number): Field => {
    const data = Buffer.alloc(4);
    data.writeUInt32BE(offset);
    return { tag: tags.exif, type: types.long, data };
  };
  const inner = start + makeDirectory([...main, pointer(0)], start).length;
  return Buffer.concat([
    Buffer.from('MM\0*\0\0\0\x08', 'latin1'),
    makeDirectory([...main, pointer(inner)], start),
    makeDirectory([{ tag: tags.comment, type: types.undefined, data: comment }], inner),
  ]);
}

/** Entries of twelve bytes, then the values that do not fit into four. */
function makeDirectory(fields: readonly Field[], offset: number): Buffer {
  const entries = Buffer.alloc(2 + fields.length * 12 + 4);
  entries.writeUInt16BE(fields.length, 0);
  const values: Buffer[] = [];
  let end = offset + entries.length;
  for (const [i, { tag, type, data }] of fields.entries()) {
    const at = 2 + i * 12;
    entries.writeUInt16BE(tag, at);
    entries.writeUInt16BE(type, at + 2);
    entries.writeUInt32BE(type === types.long ? 1 : data.length, at + 4);
    if (data.length <= 4) {
      data.copy(entries, at + 8);
      continue;
    }
    entries.writeUInt32BE(end, at + 8);
    // Values begin at even offsets.
    values.push(data, Buffer.alloc(data.length % 2));
    end += data.length + (data.length % 2);
  }
  return Buffer.concat([entries, ...values]);
}

/** Parses only metadata that this product wrote; undefined for any other. */
function readDescription(exif: Buffer): string | undefined {
  if (exif.length < 22 || exif.readUInt16BE(10) !== tags.description) return undefined;
  const [length, offset] = [exif.readUInt32BE(14), exif.readUInt32BE(18)];
  return exif.toString('latin1', offset, offset + length - 1);
}
