import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { prepareMask } from '../../src/engine/image/mask.ts';
import { describePlan } from '../../src/engine/pipeline/plan-record.ts';
import { type Part, toInjection } from '../fixtures/openai-clients.ts';
import { type Bench, createBench, drawPicture, task } from './fixture.ts';

/** RGBA pixels in one row. */
function row(...pixels: [r: number, g: number, b: number, a: number][]): Promise<Buffer> {
  const raw = { width: pixels.length, height: 1, channels: 4 as const };
  return sharp(Buffer.from(pixels.flat()), { raw }).png().toBuffer();
}

async function greys(bytes: Uint8Array): Promise<number[]> {
  const { data } = await decodeImage(bytes);
  return Array.from({ length: data.length / 3 }, (_, i) => data[3 * i]!);
}

describe('a mask is brought to one sense: white is edited', () => {
  it('of a mask of OpenAI the transparent pixels, by how transparent they are', async () => {
    const mask = await row([0, 0, 0, 0], [255, 255, 255, 0], [255, 255, 255, 255], [9, 9, 9, 55]);
    const { bytes, width, height, format } = await prepareMask(mask, 'transparent');
    expect({ width, height, format }).toEqual({ width: 4, height: 1, format: 'png' });
    expect(await greys(bytes)).toEqual([255, 255, 0, 200]);
  });

  it('of others the brightness, on black where they are transparent', async () => {
    const mask = await row([255, 255, 255, 255], [0, 0, 0, 255], [255, 255, 255, 0], [255, 0, 0, 255]);
    expect(await greys((await prepareMask(mask, 'white')).bytes)).toEqual([255, 0, 0, 76]);
    const jpeg = await drawPicture(8, 8, 'jpg');
    await expect(prepareMask(jpeg, 'white')).rejects.toMatchObject({ code: 'maskUnusable' });
  });

  it('turned as its orientation says', async () => {
    const pixels = Buffer.from([255, 255, 255, 255, 0, 0, 0, 255]);
    const turned = sharp(pixels, { raw: { width: 2, height: 1, channels: 4 } }).withMetadata({
      orientation: 6,
    });
    const { width, height } = await prepareMask(await turned.png().toBuffer(), 'white');
    expect([width, height]).toEqual([1, 2]);
  });

  it('is refused when it has no transparency where it needs it, or leaves nothing to edit', async () => {
    const opaque = await drawPicture(8, 8, 'jpg');
    await expect(prepareMask(opaque, 'transparent')).rejects.toThrow(
      /no alpha channel; expected a PNG or WebP/,
    );
    const full = await row([255, 255, 255, 255], [255, 255, 255, 200]);
    await expect(prepareMask(full, 'transparent')).rejects.toThrow(/leaves nothing to edit/);
  });
});

describe('a task', () => {
  let bench: Bench;
  let picture: string;

  beforeEach(async () => {
    bench = await createBench();
    picture = `data:image/png;base64,${(await drawPicture(4, 1)).toString('base64')}`;
  });

  afterEach(() => bench.close());

  const uri = (bytes: Uint8Array) => `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
  const ask = (inputs: object) => bench.post([{ ...task, inputs }]);

  it('has its mask in the plan, grey and as large as the first reference', async () => {
    const mask = await row([255, 255, 255, 255], [0, 0, 0, 255], [0, 0, 0, 255], [0, 0, 0, 255]);
    const { status } = await ask({ referenceImages: [picture], maskImage: uri(mask) });
    expect(status).toBe(200);
    expect(await greys(bench.engine.plans[0]!.mask!)).toEqual([255, 0, 0, 0]);
  });

  it.each([
    [
      'of another size',
      () => row([255, 255, 255, 255]),
      /mask of 1×1, expected the size of the first picture, 4×1/,
    ],
    ['that is black', () => row(...Array(4).fill([0, 0, 0, 255])), /leaves nothing to edit/],
    ['that is none', async () => Buffer.from('no picture'), /'inputs.maskImage'/],
  ])('with a mask %s is refused', async (_, draw, message) => {
    const { status, body } = await ask({ referenceImages: [picture], maskImage: uri(await draw()) });
    expect([status, body.error]).toEqual([
      400,
      expect.objectContaining({ parameter: 'inputs.maskImage', message: expect.stringMatching(message) }),
    ]);
    expect(body.errors).toHaveLength(1);
  });

  it('whose first reference is no picture has one error, not one for its mask too', async () => {
    const mask = uri(await row(...Array(4).fill([255, 255, 255, 255])));
    const { body } = await ask({ referenceImages: ['!'], maskImage: mask });
    expect(body.errors).toEqual([expect.objectContaining({ parameter: 'inputs.referenceImages' })]);
  });

  it('without a mask has a plan and a record as before', async () => {
    await ask({ referenceImages: [picture] });
    expect(bench.engine.plans[0]).not.toHaveProperty('mask');
    expect(JSON.stringify(describePlan(bench.engine.plans[0]!))).not.toContain('mask');
  });

  describe("of OpenAI's API", () => {
    const post = async (parts: readonly Part[]) => {
      const response = await bench.server.inject(
        toInjection({ path: '/v1/images/edits', headers: {}, body: parts }),
      );
      return { status: response.statusCode, error: response.json().error };
    };
    const file = (name: string, value: Uint8Array) => ({ name, value, filename: 'x.png', type: 'image/png' });
    const prompt = { name: 'prompt', value: 'make the sky pink' };
    const clear = [0, 0, 0, 0] as [number, number, number, number];
    const solid = [0, 0, 0, 255] as [number, number, number, number];

    it('edits what is transparent', async () => {
      const mask = await row(clear, solid, solid, clear);
      const { status } = await post([prompt, file('image', await drawPicture(4, 1)), file('mask', mask)]);
      expect(status).toBe(200);
      expect(await greys(bench.engine.plans[0]!.mask!)).toEqual([255, 0, 0, 255]);
    });

    it.each([
      ['without transparency', () => drawPicture(4, 1), /'mask': The mask has no alpha channel/],
      ['of another size', () => row(clear), /'mask': found a mask of 1×1/],
      ['that is no picture', async () => Buffer.from('x'), /'mask'/],
    ])('refuses a mask %s in its own words', async (_, draw, message) => {
      const { status, error } = await post([
        prompt,
        file('image', await drawPicture(4, 1)),
        file('mask', await draw()),
      ]);
      expect([status, error.param]).toEqual([400, 'mask']);
      expect(error.message).toMatch(message);
    });
  });
});
