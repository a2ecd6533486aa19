/** Identifies a file by its first bytes. */
import type { ImageFormat } from './formats.ts';

/** The formats we open, by their magic bytes (latin1) at an offset. */
const formats: readonly [ImageFormat, number, string][] = [
  ['png', 0, '\x89PNG\r\n\x1a\n'],
  ['jpg', 0, '\xff\xd8\xff'],
  ['webp', 8, 'WEBP'],
];

/** Also accepted as uploads, and stored as PNG. */
const uploadFormats: readonly ['bmp' | 'gif', number, string][] = [
  ['bmp', 0, 'BM'],
  ['gif', 0, 'GIF8'],
];

/** Other file types that clients send, so that the error can name them. The first match wins. */
const strangers: readonly [string, number, string][] = [
  ['is a GIF', 0, 'GIF8'],
  ['is a BMP', 0, 'BM'],
  ['is a TIFF', 0, 'II*\0'],
  ['is a TIFF', 0, 'MM\0*'],
  ['is an AVIF', 4, 'ftypavi'],
  ['is a HEIC', 4, 'ftyphei'],
  ['is a HEIC', 4, 'ftypmif1'],
  ['is a video', 4, 'ftyp'],
  ['is a PDF', 0, '%PDF'],
  ['is a ZIP archive', 0, 'PK\x03\x04'],
  ['is gzip-compressed data', 0, '\x1f\x8b'],
  ['is an HTML page', 0, '<!doctype html'],
  ['is an HTML page', 0, '<html'],
  ['is an SVG', 0, '<svg'],
  ['is XML', 0, '<?xml'],
];

export function sniffFormat(bytes: Uint8Array): ImageFormat | undefined {
  return find(formats, bytes);
}

export type UploadFormat = ImageFormat | 'bmp' | 'gif';

export function sniffUpload(bytes: Uint8Array): UploadFormat | undefined {
  return find<UploadFormat>([...formats, ...uploadFormats], bytes);
}

function find<Format>(table: readonly [Format, number, string][], bytes: Uint8Array): Format | undefined {
  const start = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  return table.find(([, offset, magic]) => start.startsWith(magic, offset))?.[0];
}

/** Describes the bytes as the predicate of a sentence: "is a GIF", "is empty", "has 3 bytes of no known kind …". */
export function describeStart(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'is empty';
  const start = Buffer.from(bytes.subarray(0, 32));
  const text = start.toString('latin1');
  const lower = text.trimStart().toLowerCase();
  for (const [predicate, offset, magic] of strangers) {
    if (text.startsWith(magic, offset) || (magic.startsWith('<') && lower.startsWith(magic)))
      return predicate;
  }
  if (
    start.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d || byte === 0x09)
  ) {
    return `is text that begins ${JSON.stringify(text)}`;
  }
  const hexadecimal = Array.from(start.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0'));
  return `is ${bytes.length} bytes of no known kind that begin ${hexadecimal.join(' ')}`;
}
