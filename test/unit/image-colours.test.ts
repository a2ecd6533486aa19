/** Embedded colour profiles, compared with Pillow and LittleCMS on the same files (reference/colour_profiles.py). */
import { readdirSync, readFileSync } from 'node:fs';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { decodeImage, prepareUpload } from '../../src/engine/image/image-codec.ts';

const folder = new URL('../data/colours/', import.meta.url);
const { width, height, pixels } = JSON.parse(readFileSync(new URL('pixels.json', folder), 'utf8'));
const names = readdirSync(folder).filter((name) => name.endsWith('.png'));

test.each(names)('%s has the colours that LittleCMS gives it', async (name) => {
  const bitmap = await decodeImage(readFileSync(new URL(name, folder)));
  expect([bitmap.width, bitmap.height]).toEqual([width, height]);
  const expected: number[] = pixels[name.slice(0, -4)];
  expect(bitmap.data).toHaveLength(expected.length);
  const differences = expected.map((value, i) => Math.abs(value - bitmap.data[i]!));
  // libvips and LittleCMS round differently.
  expect(Math.max(...differences)).toBeLessThanOrEqual(1);
});

/** An image of 16 bits with an embedded sRGB profile. */
const deep = (background: { r: number; g: number; b: number }) =>
  sharp({ create: { width: 60, height: 40, channels: 3, background } })
    .toColourspace('rgb16')
    .withIccProfile('srgb')
    .png()
    .toBuffer();

test.each([2048, 30])(
  'an upload of 16 bits with a profile keeps its colours at a side of at most %i',
  async (side) => {
    const bytes = await deep({ r: 255, g: 0, b: 0 });
    expect(await sharp(bytes).metadata()).toMatchObject({ depth: 'ushort', hasProfile: true });
    const stored = await prepareUpload(bytes, side);
    expect([...(await decodeImage(stored.bytes)).data.subarray(0, 3)]).toEqual([255, 0, 0]);
  },
);

test('an upload of 16 grey bits with a profile keeps its brightness when it is made smaller', async () => {
  const bytes = readFileSync(new URL('l16-gamma1.0.png', folder));
  const stored = await prepareUpload(bytes, 7);
  const mean = ({ data }: { data: Uint8Array }) => data.reduce((sum, value) => sum + value, 0) / data.length;
  expect(Math.abs(mean(await decodeImage(stored.bytes)) - mean(await decodeImage(bytes)))).toBeLessThan(4);
});

test('CMYK with a profile is converted by it', async () => {
  const colour = { r: 20, g: 120, b: 220 };
  const flat = sharp({ create: { width: 16, height: 16, channels: 3, background: colour } });
  const bytes = await flat
    .toColourspace('cmyk')
    .withIccProfile('cmyk')
    .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
    .toBuffer();
  const [red, green, blue] = (await decodeImage(bytes)).data;
  // The profile's gamut ends there; Pillow and LittleCMS give the same.
  expect([red, green, blue]).toEqual([13, 116, 159]);
});
