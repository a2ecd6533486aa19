/** The structure of a JPEG file (ITU-T T.81, annex B), read without decoding it: how many scans, and whether it ends. */

const marker = { startOfImage: 0xd8, endOfImage: 0xd9, startOfScan: 0xda } as const;

export type JpegStructure = {
  /** Passes over the image: 1 in most baseline files, about 10 in progressive ones. */
  scans: number;
  /** Whether the end marker is there; some cameras and cut downloads leave it out. */
  ended: boolean;
};

export function readJpegStructure(bytes: Uint8Array): JpegStructure {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let scans = 0;
  let at = 2;
  // 0xFF in a scan's data is followed by 0, or is a restart marker: neither is a segment.
  while ((at = file.indexOf(0xff, at)) >= 0 && at + 1 < file.length) {
    const code = file[at + 1]!;
    if (code === marker.endOfImage) return { scans, ended: true };
    if (code === 0xff) at += 1;
    else if (code < 0xc0 || isRestart(code) || code === marker.startOfImage) at += 2;
    else {
      if (code === marker.startOfScan) scans++;
      at += 2 + (at + 4 <= file.length ? Math.max(file.readUInt16BE(at + 2), 2) : 2);
    }
  }
  return { scans, ended: false };
}

function isRestart(code: number): boolean {
  return code >= 0xd0 && code <= 0xd7;
}
