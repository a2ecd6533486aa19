import sharp from 'sharp';
import { afterEach, describe, expect, test } from 'vitest';
import { type DecoderOptions, ImageDecoder } from '../../src/engine/image/decoder.ts';

const scripted = new URL('../fixtures/scripted-decoder.ts', import.meta.url);
const opened: ImageDecoder[] = [];
function open(options?: DecoderOptions): ImageDecoder {
  const decoder = new ImageDecoder(options);
  opened.push(decoder);
  return decoder;
}
afterEach(() => {
  for (const decoder of opened.splice(0)) decoder.close();
});

const draw = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#246' } });

describe('in a process of its own', () => {
  test('a whole image is measured, and what is wrong with another is said', async () => {
    const decoder = open();
    const bytes = await draw(30, 20).png().toBuffer();
    expect(await decoder.check(bytes)).toEqual({ width: 30, height: 20, format: 'png' });
    await expect(decoder.check(bytes, { pixelLimit: 599 })).rejects.toMatchObject({ code: 'imageTooLarge' });
    await expect(decoder.check(Buffer.from('<svg/>'))).rejects.toMatchObject({
      code: 'imageUndecodable',
      message: 'The image is an SVG; a PNG, JPEG or WebP is expected.',
    });
    const jpeg = await draw(400, 300).jpeg().toBuffer();
    await expect(decoder.check(jpeg.subarray(0, jpeg.length - 40))).rejects.toMatchObject({
      code: 'imageUndecodable',
    });
  });

  test('an upload is made to fit', async () => {
    const stored = await open().prepareUpload(await draw(80, 40).png().toBuffer(), 20);
    expect(stored).toMatchObject({ width: 20, height: 10, format: 'png' });
    expect((await sharp(stored.bytes).metadata()).width).toBe(20);
  });

  test('an image that takes more processor time than the limit is refused, and the next is decoded', async () => {
    const decoder = open({ seconds: 0.05, processes: 1 });
    const slow = await draw(7000, 7000).jpeg({ progressive: true }).toBuffer();
    await expect(decoder.check(slow)).rejects.toMatchObject({
      code: 'imageTooSlow',
      message: 'Decoding the image took more than 0.05 s of processor time, which is the limit.',
    });
    const bytes = await draw(3, 2).png().toBuffer();
    // The limit of this test is so low that starting to decode may exceed it.
    expect(await open().check(bytes)).toMatchObject({ width: 3 });
  });
});

describe('a process that fails', () => {
  const read = (decoder: ImageDecoder, text: string) => decoder.check(Buffer.from(text));

  test('by a crash is an error of its image alone', async () => {
    const decoder = open({ module: scripted, processes: 1 });
    const first = await read(decoder, 'image');
    const crash = read(decoder, 'crash');
    const waiting = read(decoder, 'image');
    await expect(crash).rejects.toMatchObject({
      code: 'imageUndecodable',
      message:
        'The image could not be decoded from its 5 bytes: the process that decoded it ended with signal SIGABRT.',
    });
    expect((await waiting).width).not.toBe(first.width);
  });

  test('to answer is ended, and those that wait are decoded by another', async () => {
    const decoder = open({ module: scripted, processes: 1, patience: 1500 });
    const hang = read(decoder, 'hang');
    const waiting = read(decoder, 'image');
    await expect(hang).rejects.toMatchObject({ code: 'imageTooSlow' });
    expect((await waiting).format).toBe('png');
  });

  test('to start is an error', async () => {
    const decoder = open({ module: new URL('./no-such-decoder.ts', import.meta.url) });
    await expect(read(decoder, 'image')).rejects.toMatchObject({ code: 'imageUndecodable' });
  });
});

test('a process is kept for the next image, and ended after its idle time', async () => {
  const decoder = open({ module: scripted, processes: 1, idle: 50 });
  const image = Buffer.from('image');
  const { width: first } = await decoder.check(image);
  expect((await decoder.check(image)).width).toBe(first);
  const gone = () => {
    try {
      return !process.kill(first, 0);
    } catch {
      return true;
    }
  };
  await expect.poll(gone, { timeout: 10_000 }).toBe(true);
  expect((await decoder.check(image)).width).not.toBe(first);
});

test('owners take turns, however many images one of them has', async () => {
  const decoder = open({ module: scripted, processes: 1 });
  const ended: string[] = [];
  const ask = (name: string, owner: string) =>
    decoder.check(Buffer.from('image'), { owner }).then(() => ended.push(name));
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1'].map((name) => ask(name, name[0]!));
  await Promise.all(all);
  // The first is decoded before there is a queue.
  expect(ended).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});
