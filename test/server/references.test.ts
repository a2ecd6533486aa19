import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeAll, listen } from '../fixtures/listen.ts';
import { type Bench, createBench, drawPicture, task } from './fixture.ts';

let bench: Bench;

beforeEach(async () => {
  bench = await createBench({ 'allow-private-network': '127.0.0.1', 'fetch-timeout': '1' });
});

afterEach(async () => {
  await bench.close();
  await closeAll();
});

const edit = (...referenceImages: unknown[]) => bench.post([{ ...task, inputs: { referenceImages } }]);

describe('a reference', () => {
  it.each(['png', 'jpg', 'webp'] as const)('is taken as base64, data URI and URL of a %s', async (format) => {
    const picture = await drawPicture(64, 48, format);
    const base64 = picture.toString('base64');
    const url = await listen((_, response) => response.end(picture));
    const wrapped = base64.replace(/.{76}/g, '$&\r\n');
    const { status } = await edit(
      base64,
      `data:image/${format};base64,${base64}`,
      `${url}/photo?size=1`,
      wrapped,
    );
    expect(status).toBe(200);
    const [plan] = bench.engine.plans;
    expect(plan?.references.map((bytes) => picture.equals(bytes))).toEqual([true, true, true, true]);
  });

  it.each<[string, (base64: string, url: string) => string]>([
    ['a URL between white space', (_, url) => `\n\t ${url}/photo \r\n`],
    ['a data URI between white space', (base64) => `  data:image/png;base64,${base64}\n`],
    ['a data URI with spaces', (base64) => `data:image/png;base64, ${base64.replace(/.{40}/g, '$& \t')}`],
    ['a data URI with escapes', (base64) => `data:image/png;base64,${encodeURIComponent(base64)}`],
    [
      'a data URI with lower-case escapes',
      (base64) =>
        `data:;base64,${base64.replaceAll('+', '%2b').replaceAll('/', '%2f').replaceAll('=', '%3d')}`,
    ],
    ['base64 in indented lines', (base64) => `  ${base64.replace(/.{76}/g, '$&\n    ')}  `],
    ['base64 with spaces', (base64) => base64.replace(/.{20}/g, '$& ')],
    [
      'base64url without padding',
      (base64) => base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''),
    ],
  ])('is taken as %s', async (_, write) => {
    const picture = await drawPicture(64, 48);
    const url = await listen((_, response) => response.end(picture));
    const { status, text } = await edit(write(picture.toString('base64'), url));
    expect(status, text).toBe(200);
    expect(picture.equals(bench.engine.plans[0]!.references[0]!)).toBe(true);
  });

  it('is taken as the UUID of a stored picture', async () => {
    const uuid = '3f0c5c8e-5a9d-4a53-9d4b-0d6f8b7a1c2e';
    const bytes = await drawPicture(64, 48);
    await bench.assets.put({ uuid, format: 'png', bytes });
    expect((await edit(uuid.toUpperCase())).status).toBe(200);
    expect(bytes.equals(bench.engine.plans[0]!.references[0]!)).toBe(true);
  });

  it('gives the image its shape when no size is asked for', async () => {
    const wide = (await drawPicture(400, 300)).toString('base64');
    const tall = (await drawPicture(300, 400)).toString('base64');
    await bench.post([{ ...task, inputs: { referenceImages: [wide, tall] } }]);
    await bench.post([{ ...task, taskUUID: randomUUID(), inputs: { referenceImages: [tall] } }]);
    await bench.post([{ ...task, taskUUID: randomUUID() }]);
    await bench.post([
      { ...task, taskUUID: randomUUID(), width: 672, height: 1568, inputs: { referenceImages: [wide] } },
    ]);
    expect(bench.engine.plans.map(({ width, height }) => [width, height])).toEqual([
      [1184, 880],
      [880, 1184],
      [1024, 1024],
      [672, 1568],
    ]);
  });
});

describe('a reference that is no picture', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  it.each([
    ['a web page', base64('<!doctype html><html></html>'), /PNG, JPEG or WebP/],
    ['an SVG', base64('<svg xmlns="http://www.w3.org/2000/svg"/>'), /PNG, JPEG or WebP/],
    ['a GIF', base64('GIF89a\u0001\u0000\u0001\u0000'), /PNG, JPEG or WebP/],
    [
      'the start of a PNG',
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]).toString('base64'),
      /referenceImages\[0\]/,
    ],
    ['a sentence', 'make the sky pink at dusk', /found 'make the sky pink at dusk', expected the UUID/],
    ['a path', '/tmp/photo.jpg', /found '\/tmp\/photo\.jpg', expected the UUID/],
    ['a data URI that is text', 'data:text/plain,hello', /found a data URI 'data:text\/plain'/],
    ['a data URI without data', 'data:image/png;base64,', /base64/],
    ['a local file', 'file:///etc/passwd', /scheme file:/],
    ['an address of the cloud', 'http://169.254.169.254/latest/meta-data', /private or reserved address/],
    ['more bytes than allowed', 'A'.repeat(45_000_000), /expected at most 33554432/],
  ])('is refused: %s', async (_, reference, message) => {
    const { status, body } = await edit(reference);
    expect([status, body.error?.code]).toEqual([400, 'invalidReferenceImages']);
    expect(body.error).toMatchObject({ parameter: 'inputs.referenceImages', taskUUID: task.taskUUID });
    expect(body.error?.message).toMatch(message);
    expect(String(body.error?.message).length).toBeLessThan(400);
    expect(bench.engine.plans).toEqual([]);
  });

  it('is refused when it has too many pixels', async () => {
    const header = (await drawPicture(64, 48)).subarray(0, 33);
    const picture = Buffer.concat([header, (await drawPicture(64, 48)).subarray(33)]);
    picture.writeUInt32BE(30_000, 16);
    picture.writeUInt32BE(30_000, 20);
    expect((await edit(picture.toString('base64'))).body.error).toMatchObject({
      code: 'invalidReferenceImages',
    });
  });

  it('is refused by its index before the task is accepted when it is cut short', async () => {
    const whole = await drawPicture(400, 300, 'jpg');
    const cut = whole.subarray(0, whole.length - 40).toString('base64');
    const references = [whole.toString('base64'), cut];
    const { status, body } = await bench.post([
      { ...task, deliveryMethod: 'async', inputs: { referenceImages: references } },
    ]);
    expect([status, body.error?.code]).toEqual([400, 'invalidReferenceImages']);
    expect(body.errors).toHaveLength(1);
    expect(body.error?.message).toMatch(
      /^Invalid value for 'inputs\.referenceImages\[1\]': The image begins as a jpg does but cannot be decoded/,
    );
  });

  it('is refused when its UUID is unknown', async () => {
    const { status, body } = await edit('3f0c5c8e-5a9d-4a53-9d4b-0d6f8b7a1c2e');
    expect([status, body.error?.code]).toEqual([404, 'mediaNotFound']);
  });

  it.each<[string, RequestListener]>([
    ['answers 404', (_, response) => response.writeHead(404).end()],
    ['never answers', () => {}],
    ['redirects for ever', (_, response) => response.writeHead(302, { location: '/' }).end()],
  ])('is a failed download when its host %s', async (_, handler) => {
    const { status, body } = await edit(await listen(handler));
    expect([status, body.error?.code]).toEqual([400, 'downloadFailed']);
  });

  it('is named together with the others that are none', async () => {
    const good = (await drawPicture(64, 48)).toString('base64');
    const { body } = await edit('not a picture', good, 'nor this');
    expect(body.errors?.map(({ message }) => String(message).slice(0, 51))).toEqual([
      "Invalid value for 'inputs.referenceImages[0]': foun",
      "Invalid value for 'inputs.referenceImages[2]': foun",
    ]);
  });
});

describe('a plan', () => {
  const plan = async (fields: object) => {
    await bench.post([{ ...task, ...fields }]);
    return bench.engine.plans.at(-1)!;
  };

  it('takes from the model what the task leaves open', async () => {
    expect(await plan({})).toMatchObject({
      prompt: 'make the sky pink',
      negativePrompt: '',
      references: [],
      steps: 28,
      guidance: 2.5,
      trueCfg: 1,
      sampler: 'euler',
      sigmas: 'shifted',
      decoder: 'full',
      previewEvery: 0,
      output: { format: 'jpg', quality: 95 },
    });
  });

  it('has what the task says', async () => {
    const fields = { steps: 4, CFGScale: 3, trueCFGScale: 4, negativePrompt: 'rain', scheduler: 'Euler' };
    expect(await plan({ ...fields, outputFormat: 'webp', outputQuality: 50 })).toMatchObject({
      steps: 4,
      guidance: 3,
      trueCfg: 4,
      negativePrompt: 'rain',
      output: { format: 'webp', quality: 50 },
    });
  });

  it('ignores the negative prompt when guidance is disabled, as the page says', async () => {
    expect((await plan({ CFGScale: 1, trueCFGScale: 4, negativePrompt: 'rain' })).negativePrompt).toBe('');
  });

  it('has no prompt for __BLANK__', async () => {
    expect((await plan({ positivePrompt: '__BLANK__' })).prompt).toBe('');
  });

  it('keeps its seed below 2^63 with the noise of the seed asked for', async () => {
    const { text } = await bench.post([{ ...task, seed: 9223372036854776000n, numberResults: 2 }]);
    expect(text.match(/"seed":\d+/g)).toEqual(['"seed":9223372036854776000', '"seed":0']);
    expect(bench.engine.plans.map(({ seed }) => seed)).toEqual([192n, 0n]);
  });
});
