import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodeImage, probeImage, resizeReference } from '../../src/engine/image/image-codec.ts';
import type { Bitmap } from '../../src/engine/image/pixels.ts';

const width = 24;
const height = 16;
/** A red-green ramp whose corners all differ. */
const ramp: Bitmap = {
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    return [x * 10, y * 15, 40][i % 3]!;
  }),
};
const source = () => sharp(ramp.data, { raw: { width, height, channels: 3 } });
const pixel = ({ data, width }: Bitmap, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

describe('pictures of every kind become 8-bit RGB', () => {
  test.each(['png', 'webp'] as const)('%s without loss is the same bytes', async (format) => {
    const bytes = await source().toFormat(format, { lossless: true }).toBuffer();
    expect(await probeImage(bytes)).toEqual({ width, height, format });
    expect(Buffer.compare((await decodeImage(bytes)).data, ramp.data)).toBe(0);
  });

  test('a JPEG turned by EXIF is turned back', async () => {
    const bytes = await source().jpeg({ quality: 100 }).withMetadata({ orientation: 6 }).toBuffer();
    expect(await probeImage(bytes)).toEqual({ width: height, height: width, format: 'jpg' });
    const bitmap = await decodeImage(bytes);
    expect([bitmap.width, bitmap.height]).toEqual([height, width]);
    // Orientation 6: the stored top left is displayed at the top right.
    const [red, green, blue] = pixel(bitmap, height - 1, 0);
    expect(Math.max(red!, green!, Math.abs(blue! - 40))).toBeLessThan(16);
  });

  test('transparency shows white', async () => {
    const clear = sharp({ create: { width: 4, height: 4, channels: 4, background: '#ff000000' } });
    expect(pixel(await decodeImage(await clear.png().toBuffer()), 1, 1)).toEqual([255, 255, 255]);
    const half = sharp({ create: { width: 4, height: 4, channels: 4, background: '#ff000080' } });
    const [red, green] = pixel(await decodeImage(await half.png().toBuffer()), 1, 1);
    expect(red).toBe(255);
    expect(Math.abs(green! - 127)).toBeLessThanOrEqual(1);
  });

  test('grey, with and without transparency', async () => {
    const grey = await source().toColourspace('b-w').png().toBuffer();
    const [red, green, blue] = pixel(await decodeImage(grey), 5, 5);
    expect([green, blue]).toEqual([red, red]);
    const clear = await source().toColourspace('b-w').ensureAlpha(0).png().toBuffer();
    expect(pixel(await decodeImage(clear), 5, 5)).toEqual([255, 255, 255]);
  });

  test('sixteen bits, of which the upper eight count', async () => {
    const bytes = await source().toColourspace('rgb16').png().toBuffer();
    expect((await sharp(bytes).metadata()).depth).toBe('ushort');
    expect(Buffer.compare((await decodeImage(bytes)).data, ramp.data)).toBe(0);
  });

  test('CMYK', async () => {
    const bytes = await source().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
    expect((await sharp(bytes).metadata()).channels).toBe(4);
    const bitmap = await decodeImage(bytes);
    expect(bitmap.data).toHaveLength(width * height * 3);
  });

  test('a palette', async () => {
    const bytes = await source().png({ palette: true }).toBuffer();
    expect((await decodeImage(bytes)).data).toHaveLength(width * height * 3);
  });

  test('an animation, of which the first frame counts', async () => {
    const frames = Buffer.concat([ramp.data, Buffer.alloc(ramp.data.length)]);
    const raw = { width, height: height * 2, channels: 3, pageHeight: height } as const;
    const bytes = await sharp(frames, { raw }).webp({ lossless: true }).toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(2);
    expect(Buffer.compare((await decodeImage(bytes)).data, ramp.data)).toBe(0);
  });
});

describe('what is not a picture is an error that says what it is', () => {
  const refusal = async (bytes: Uint8Array) => decodeImage(bytes).catch((error) => error);

  test.each([
    ['is empty', ''],
    ['is a GIF', 'GIF89a\x01\0\x01\0'],
    ['is an SVG', '  <svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['is an HTML page', '<!DOCTYPE html><title>Not found</title>'],
    ['is a HEIC', '\0\0\0\x18ftypheic\0\0\0\0'],
    ['is text that begins "{\\"error\\": 404}"', '{"error": 404}'],
    ['is 4 bytes of no known kind that begin de ad be ef', '\xde\xad\xbe\xef'],
  ])('%s', async (predicate, latin1) => {
    const error = await refusal(Buffer.from(latin1, 'latin1'));
    expect(error.code).toBe('imageUndecodable');
    expect(error.message).toBe(`The image ${predicate}; a PNG, JPEG or WebP is expected.`);
  });

  test.each(['png', 'jpeg', 'webp'] as const)('a %s cut short', async (format) => {
    const bytes = await source().resize(200, 200).toFormat(format).toBuffer();
    const error = await refusal(bytes.subarray(0, bytes.length * 0.7));
    expect(error.code).toBe('imageUndecodable');
    expect(error.message).toMatch(/cannot be decoded from its \d+ bytes/);
  });

  test('a header and noise', async () => {
    const bytes = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.alloc(100, 7)]);
    expect((await refusal(bytes)).code).toBe('imageUndecodable');
  });
});

test('a picture above the limit of pixels is refused from its header, with both numbers', async () => {
  const bytes = await source().png().toBuffer();
  const error = await decodeImage(bytes, 383).catch((error) => error);
  expect(error.code).toBe('imageTooLarge');
  expect(error.message).toBe('The image is 24×16, 384 pixels; at most 383 pixels are accepted.');
  await expect(decodeImage(bytes, 384)).resolves.toMatchObject({ width, height });
});

describe('encoding', () => {
  test('PNG gives the bitmap back, whatever the quality', async () => {
    const image = await encodeImage(ramp, 'png', 20);
    expect(image).toMatchObject({ format: 'png', width, height });
    expect(Buffer.compare((await decodeImage(image.bytes)).data, ramp.data)).toBe(0);
  });

  test.each(['jpg', 'webp'] as const)('%s is larger at a higher quality', async (format) => {
    const [low, high] = [await encodeImage(ramp, format, 20), await encodeImage(ramp, format, 95)];
    expect(high.bytes.length).toBeGreaterThan(low.bytes.length);
    expect(await probeImage(high.bytes)).toEqual({ width, height, format });
  });

  test.each(['png', 'jpg', 'webp'] as const)('%s gives the same bytes each time', async (format) => {
    const [first, second] = [await encodeImage(ramp, format, 90), await encodeImage(ramp, format, 90)];
    expect(Buffer.compare(first.bytes, second.bytes)).toBe(0);
  });
});

test('a reference is stretched to the preferred size of the nearest aspect ratio', () => {
  const { width, height, data } = resizeReference(ramp);
  expect([width, height]).toEqual([1248, 832]);
  expect(data).toHaveLength(1248 * 832 * 3);
});
