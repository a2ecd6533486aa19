/**
 * Reads the JSON that Retouch writes into its pictures: a PNG text chunk, or EXIF's ImageDescription in JPEG and WebP.
 * Undefined for pictures of other programs.
 */

export type PlanRecord = { readonly [name: string]: unknown };

export function readPlanRecord(bytes: Uint8Array): PlanRecord | undefined {
  try {
    const text = readText(bytes);
    const record = text === undefined ? undefined : (JSON.parse(text) as PlanRecord);
    return record?.software === 'Retouch' ? record : undefined;
  } catch {
    // A truncated picture, or a text of another program.
    return undefined;
  }
}

function readText(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (from: number, to: number) => latin1(bytes.subarray(from, to));
  if (text(1, 4) === 'PNG') {
    for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
      const end = at + 8 + view.getUint32(at);
      if (text(at + 4, at + 16) === 'tEXtretouch\0') return text(at + 16, end);
    }
  } else if (view.getUint16(0) === 0xffd8) {
    for (let at = 2; at + 4 <= bytes.length; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint16(at);
      // Retouch writes its text before the scan.
      if (marker < 0xff00 || marker === 0xffda) return undefined;
      if (marker === 0xffe1 && text(at + 4, at + 10) === 'Exif\0\0')
        return readDescription(bytes.subarray(at + 10, at + 2 + view.getUint16(at + 2)));
    }
  } else if (text(8, 12) === 'WEBP') {
    for (let at = 12; at + 8 <= bytes.length; ) {
      const length = view.getUint32(at + 4, true);
      if (text(at, at + 4) === 'EXIF') return readDescription(bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length + (length % 2);
    }
  }
  return undefined;
}

/** The first field of the first directory of a big-endian TIFF. */
function readDescription(exif: Uint8Array): string | undefined {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  if (exif.length < 22 || view.getUint16(10) !== 0x010e) return undefined;
  const [length, offset] = [view.getUint32(14), view.getUint32(18)];
  return latin1(exif.subarray(offset, offset + length - 1));
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
