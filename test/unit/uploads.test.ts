import { readdirSync, readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeBmp } from '../../src/engine/image/bmp.ts';
import { decodeImage, prepareUpload, probeImage } from '../../src/engine/image/image-codec.ts';

const folder = new URL('../data/bmp/', import.meta.url);
const { width, height, pixels } = JSON.parse(readFileSync(new URL('pixels.json', folder), 'utf8'));
const names = readdirSync(folder).filter((name) => name.endsWith('.bmp'));
const read = (name: string) => readFileSync(new URL(name, folder));

const codeOf = (work: Promise<unknown>) => work.then(() => undefined).catch((error) => error.code);

async function draw(format: 'png' | 'jpeg' | 'webp' | 'gif', wide = 64, high = 48): Promise<Buffer> {
  const background = { r: 10, g: 200, b: 30 };
  return sharp({ create: { width: wide, height: high, channels: 3, background } })
    [format]()
    .toBuffer();
}

describe('a BMP', () => {
  // Pillow rounds channels of five and six bits down, we to the nearest.
  it.each(names)('%s has the pixels that Pillow reads, up to rounding', (name) => {
    const bitmap = decodeBmp(read(name));
    expect([bitmap.width, bitmap.height]).toEqual([width, height]);
    const expected: number[] = pixels[name.slice(0, -4)];
    const differences = expected.map((value, i) => Math.abs(value - bitmap.data[i]!));
    expect(Math.max(...differences)).toBeLessThanOrEqual(
      name.startsWith('16') || name.includes('alpha') ? 1 : 0,
    );
    expect(bitmap.data).toHaveLength(expected.length);
  });

  it.each(names)('%s cut short anywhere is an error or a picture, and never anything else', (name) => {
    const whole = read(name);
    for (let length = 2; length < whole.length; length++) {
      try {
        decodeBmp(whole.subarray(0, length));
      } catch (error) {
        expect(error).toMatchObject({ code: 'imageUndecodable' });
      }
    }
  });

  it.each([
    ['no width', 18, 0],
    ['a negative width', 18, -7],
    ['no height', 22, 0],
    ['an unknown header', 14, 41 - 2],
    ['an unknown compression', 30, 9],
    ['JPEG inside', 30, 4],
  ])('with %s is refused', async (_, at, value) => {
    const bytes = Buffer.from(read('24.bmp'));
    bytes.writeInt32LE(value, at);
    expect(await codeOf(prepareUpload(bytes, 2048))).toBe('imageUndecodable');
  });

  it('with too many pixels is refused before it is decoded', async () => {
    const bytes = Buffer.from(read('rle8.bmp'));
    bytes.writeInt32LE(100_000, 18);
    bytes.writeInt32LE(100_000, 22);
    expect(await codeOf(prepareUpload(bytes, 2048))).toBe('imageTooLarge');
  });
});

describe('an upload', () => {
  it.each(['png', 'jpeg', 'webp'] as const)('that fits is kept byte for byte: %s', async (format) => {
    const bytes = await draw(format);
    const stored = await prepareUpload(bytes, 2048);
    expect(bytes.equals(stored.bytes)).toBe(true);
    expect(stored).toMatchObject({ format: format === 'jpeg' ? 'jpg' : format, width: 64, height: 48 });
  });

  it('becomes a PNG when it is a BMP or a GIF', async () => {
    const bmp = await prepareUpload(read('24.bmp'), 2048);
    expect(bmp).toMatchObject({ format: 'png', width, height });
    expect([...(await decodeImage(bmp.bytes)).data]).toEqual(pixels['24']);
    const gif = await prepareUpload(await draw('gif'), 2048);
    expect(await probeImage(gif.bytes)).toEqual({ format: 'png', width: 64, height: 48 });
  });

  it.each([
    [100, 50, 40, [40, 20]],
    [50, 100, 40, [20, 40]],
    [41, 41, 40, [40, 40]],
    [40, 40, 40, [40, 40]],
  ])('of %i × %i is made to fit into %i', async (wide, high, side, size) => {
    for (const format of ['png', 'jpeg', 'webp', 'gif'] as const) {
      const stored = await prepareUpload(await draw(format, wide, high), side);
      expect([stored.width, stored.height]).toEqual(size);
      expect(await probeImage(stored.bytes)).toMatchObject({ width: size[0], height: size[1] });
    }
  });

  it('is turned as its EXIF orientation says when it is made smaller', async () => {
    const lying = await sharp(await draw('jpeg', 100, 50))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    expect(await probeImage(lying)).toMatchObject({ width: 50, height: 100 });
    const stored = await prepareUpload(lying, 40);
    expect(await probeImage(stored.bytes)).toMatchObject({ width: 20, height: 40 });
    const kept = await prepareUpload(lying, 2048);
    expect([kept.width, kept.height]).toEqual([50, 100]);
  });

  it('keeps its transparency when it is made smaller', async () => {
    const background = { r: 255, g: 0, b: 0, alpha: 0.5 };
    const image = sharp({ create: { width: 100, height: 100, channels: 4, background } });
    const stored = await prepareUpload(await image.png().toBuffer(), 40);
    expect((await sharp(stored.bytes).metadata()).hasAlpha).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('hello')],
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
    ['a TIFF', Buffer.from('II*\0')],
  ])('is refused when it is %s', async (_, bytes) => {
    expect(await codeOf(prepareUpload(bytes, 2048))).toBe('imageUndecodable');
  });

  it.each(['png', 'jpeg', 'webp', 'gif'] as const)('is refused when it is half a %s', async (format) => {
    const create = { width: 64, height: 64, channels: 3 as const, background: '#000' };
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 60 };
    const whole = await sharp({ create: { ...create, noise } })
      [format]()
      .toBuffer();
    expect(await codeOf(prepareUpload(whole.subarray(0, whole.length / 2), 2048))).toBe('imageUndecodable');
  });
});
