import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { installModel, livelyTransformer } from '../fixtures/installed-model.ts';
import { drawScene } from '../fixtures/scene.ts';
import { dataUri, download, ServerProcess, type Task } from './server-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const formats = { JPG: 'jpeg', PNG: 'png', WEBP: 'webp' } as const;
const square = { width: 1024, height: 1024 };

let folder: string;
let server: ServerProcess;
let picture: Uint8Array;
let inputs: Task;
let host: Server;
let hosted: string;

const lively = 'test:lively@1';

const start = () =>
  ServerProcess.start({
    dataDir: join(folder, 'data'),
    env: { RETOUCH_ALLOW_PRIVATE_NETWORK: '1', RETOUCH_MODELS_DIR: join(folder, 'models') },
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-e2e-'));
  picture = await drawScene(256, 256);
  inputs = { referenceImages: [dataUri(picture)] };
  host = createServer((_request, response) => response.end(picture));
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  hosted = `http://127.0.0.1:${(host.address() as AddressInfo).port}/scene.png`;
  await installModel(join(folder, 'models'), lively, livelyTransformer);
  server = await start();
});

afterAll(async () => {
  await server?.stop();
  host.close();
  await rm(folder, { recursive: true, force: true });
});

/** Compared as a whole: a diff of two files is not worth printing. */
function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function countDifferent(pictures: readonly Buffer[]): number {
  return new Set(pictures.map((bytes) => bytes.toString('base64'))).size;
}

/** Decodes every pixel. */
async function look(bytes: Uint8Array) {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  const { format } = await sharp(bytes).metadata();
  return { data, format, width: info.width, height: info.height };
}

describe('an edit', () => {
  it.each(Object.keys(formats) as (keyof typeof formats)[])(
    'as %s is the same picture by URL, as base64 and as a data URI',
    async (outputFormat) => {
      const answers = [];
      for (const outputType of ['URL', 'base64Data', 'dataURI'] as const) {
        const { status, body } = await server.edit({
          inputs,
          outputFormat,
          outputType,
          seed: 1,
          steps: 1,
        });
        expect({ status, keys: Object.keys(body) }).toEqual({ status: 200, keys: ['data'] });
        answers.push(body.data[0]!);
      }
      const [byUrl, byBase64, byUri] = answers;
      const response = await fetch(byUrl!.imageURL);
      expect(response.headers.get('content-type')).toBe(`image/${formats[outputFormat]}`);
      const bytes = Buffer.from(await response.arrayBuffer());
      const prefix = `data:image/${formats[outputFormat]};base64,`;
      expect(byUri!.imageDataURI).toBe(prefix + bytes.toString('base64'));
      expect(byBase64!.imageBase64Data).toBe(bytes.toString('base64'));
      const { data, ...facts } = await look(bytes);
      expect(facts).toEqual({ ...square, format: formats[outputFormat] });
      expect(new Set(data).size).toBeGreaterThan(1);
    },
  );

  it('is the same whether its picture comes as a data URI, as base64, from a URL or from an earlier result', async () => {
    const drawFrom = (reference: string) =>
      server.draw({ inputs: { referenceImages: [reference] }, seed: 5 });
    const byUri = await drawFrom(dataUri(picture));
    expect(areEqual(await drawFrom(Buffer.from(picture).toString('base64')), byUri)).toBe(true);
    expect(areEqual(await drawFrom(hosted), byUri)).toBe(true);

    const { body } = await server.edit({ inputs, outputFormat: 'PNG', seed: 5 });
    const { imageUUID, imageURL } = body.data[0]!;
    expect(areEqual(await drawFrom(String(imageUUID)), await drawFrom(imageURL))).toBe(true);
  });

  it('depends on its pictures, each of them', async () => {
    const other = dataUri(await drawScene(256, 256, { background: [220, 40, 40] }));
    const lists = [[dataUri(picture)], [dataUri(picture), other], [other, dataUri(picture)], []];
    const pictures: Buffer[] = [];
    for (const referenceImages of lists)
      pictures.push(await server.draw({ inputs: { referenceImages }, seed: 5, model: lively }));
    expect(countDifferent(pictures)).toBe(lists.length);
  });

  it.each([
    [1200, 630, 1392, 752],
    [300, 400, 880, 1184],
    [2000, 200, 1568, 672],
  ])('of a %i×%i picture without a size is %i×%i, the nearest in shape', async (w, h, width, height) => {
    const referenceImages = [dataUri(await drawScene(w, h, { format: 'jpg' }), 'image/jpeg')];
    const bytes = await server.draw({ inputs: { referenceImages }, steps: 1 });
    expect(await look(bytes)).toMatchObject({ width, height });
  });

  it('has the size asked for', async () => {
    const bytes = await server.draw({ inputs, width: 1504, height: 688, steps: 1 });
    expect(await look(bytes)).toMatchObject({ width: 1504, height: 688 });
  });
});

describe('the seed', () => {
  it('of result k is s + k, and each result is what a request for that seed alone gives', async () => {
    const { body } = await server.edit({ inputs, outputFormat: 'PNG', seed: 41, numberResults: 3 });
    expect(body.data.map(({ seed }) => seed)).toEqual([41, 42, 43]);
    const together = await Promise.all(body.data.map(({ imageURL }) => download(imageURL)));
    expect(countDifferent(together)).toBe(3);
    for (const [k, bytes] of together.entries()) {
      expect(areEqual(await server.draw({ inputs, seed: 41 + k }), bytes)).toBe(true);
    }
  });

  it('is echoed to the last digit, and chosen where none is given', async () => {
    const seeds = [9223372036854775807n, 2n ** 53n + 1n];
    for (const seed of seeds) {
      const { text } = await server.edit({ inputs, seed, steps: 1 });
      expect(text).toMatch(new RegExp(`"seed":${seed}[,}]`));
    }
    const { text } = await server.edit({ inputs, seed: seeds[1]!, numberResults: 2, steps: 1 });
    expect(text).toContain('"seed":9007199254740993');
    expect(text).toContain('"seed":9007199254740994');
    const chosen = await server.edit({ inputs, steps: 1 });
    const seed = chosen.body.data[0]!.seed as number;
    const bytes = await download(chosen.body.data[0]!.imageURL);
    expect(areEqual(await server.draw({ inputs, seed, steps: 1, outputFormat: 'JPG' }), bytes)).toBe(true);
  });

  it('gives the same bytes again, also after a restart, when earlier pictures are still served', async () => {
    const { body } = await server.edit({ inputs, outputFormat: 'PNG', seed: 77 });
    const first = await download(body.data[0]!.imageURL);
    expect(areEqual(await server.draw({ inputs, seed: 77 }), first)).toBe(true);
    expect(areEqual(await server.draw({ inputs, seed: 78 }), first)).toBe(false);

    expect(await server.stop()).toEqual({ code: 0, signal: null });
    server = await start();
    expect(areEqual(await server.draw({ inputs, seed: 77 }), first)).toBe(true);
    const address = new URL(body.data[0]!.imageURL);
    expect(areEqual(await download(server.url + address.pathname), first)).toBe(true);
  });
});

it('the prompt, the steps, both guidances and the negative prompt all change the picture', async () => {
  const variants: Task[] = [
    {},
    { positivePrompt: 'remove the square' },
    { steps: 3 },
    { CFGScale: 6 },
    { trueCFGScale: 3 },
    { trueCFGScale: 3, negativePrompt: 'green background' },
    { trueCFGScale: 3, negativePrompt: 'a red circle' },
  ];
  const pictures: Buffer[] = [];
  for (const variant of variants)
    pictures.push(await server.draw({ inputs, seed: 3, model: lively, ...variant }));
  expect(countDifferent(pictures)).toBe(variants.length);
});
