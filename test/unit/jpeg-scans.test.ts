import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage, prepareUpload, probeImage, scanLimit } from '../../src/engine/image/image-codec.ts';
import { readJpegStructure } from '../../src/engine/image/jpeg-scans.ts';

const noise = Buffer.alloc(64 * 48 * 3).map((_, i) => (i * 7919) % 251);
const source = () => sharp(noise, { raw: { width: 64, height: 48, channels: 3 } });
const baseline = await source().jpeg().toBuffer();
const progressive = await source().jpeg({ progressive: true }).toBuffer();
const endMarker = Buffer.of(0xff, 0xd9);

/** The file with its last scan, which begins at the last start-of-scan marker, repeated. */
function repeatLastScan(bytes: Buffer, times: number): Buffer {
  const at = bytes.lastIndexOf(Buffer.of(0xff, 0xda));
  const scan = bytes.subarray(at, -2);
  return Buffer.concat([bytes.subarray(0, -2), ...Array.from({ length: times }, () => scan), endMarker]);
}

describe('the structure of a JPEG', () => {
  test('one scan in a baseline file, several in a progressive one', () => {
    expect(readJpegStructure(baseline)).toEqual({ scans: 1, ended: true });
    expect(readJpegStructure(progressive)).toEqual({ scans: 10, ended: true });
    expect(readJpegStructure(repeatLastScan(progressive, 5)).scans).toBe(15);
  });

  test('a preview inside a segment is no scan, and bytes after the end are none either', () => {
    const preview = Buffer.concat([Buffer.of(0xff, 0xe1, 0, 2 + 40), Buffer.alloc(40, endMarker)]);
    preview.set([0xff, 0xda], 10);
    const bytes = Buffer.concat([baseline.subarray(0, 2), preview, baseline.subarray(2), progressive]);
    expect(readJpegStructure(bytes)).toEqual({ scans: 1, ended: true });
  });

  test('fill bytes before a marker are skipped', () => {
    const bytes = Buffer.concat([baseline.subarray(0, 2), Buffer.of(0xff, 0xff), baseline.subarray(2)]);
    expect(readJpegStructure(bytes)).toEqual({ scans: 1, ended: true });
  });

  test('every beginning of a file is read to its end and has no end marker', () => {
    for (let length = 2; length < progressive.length; length++)
      expect(readJpegStructure(progressive.subarray(0, length)).ended).toBe(false);
  });
});

describe('a JPEG of many scans', () => {
  const beyond = repeatLastScan(progressive, scanLimit - 9);

  test.each([
    ['asked for its size', probeImage],
    ['decoded', decodeImage],
    ['uploaded', (bytes: Uint8Array) => prepareUpload(bytes, 2048)],
  ] as const)('is refused before its pixels are decoded when it is %s', async (_, work) => {
    await expect(work(beyond)).rejects.toMatchObject({
      code: 'imageTooLarge',
      message: `The image is a JPEG of ${scanLimit + 1} scans; at most ${scanLimit} are decoded.`,
    });
    await expect(work(progressive)).resolves.toBeDefined();
  });
});

test('a JPEG of as many scans as the limit is taken', async () => {
  const bytes = repeatLastScan(progressive, scanLimit - 10);
  await expect(probeImage(bytes)).resolves.toEqual({ width: 64, height: 48, format: 'jpg' });
});

describe('a JPEG that lacks its end', () => {
  test.each([
    ['baseline', baseline],
    ['progressive', progressive],
  ])('marker alone is shown as browsers do: %s', async (_, bytes) => {
    const unended = bytes.subarray(0, -2);
    expect(await decodeImage(unended)).toEqual(await decodeImage(bytes));
    expect((await prepareUpload(unended, 2048)).bytes).toEqual(unended);
    expect((await prepareUpload(unended, 32)).width).toBe(32);
  });

  test.each([
    ['baseline', baseline],
    ['progressive', progressive],
  ])('marker and pixels is refused: %s', async (_, bytes) => {
    for (const length of [bytes.length - 12, Math.round(bytes.length * 0.7), bytes.length >> 1])
      await expect(decodeImage(bytes.subarray(0, length))).rejects.toMatchObject({
        code: 'imageUndecodable',
      });
  });
});
