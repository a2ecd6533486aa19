import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { type Damage, editTable, installModel } from '../fixtures/installed-model.ts';
import { drawScene } from '../fixtures/scene.ts';
import { type Answer, dataUri, editTask, ServerProcess, type Task } from './server-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const MiB = 2 ** 20;

/** AIR → the model's fault, and its error message. */
const damages: Readonly<Record<string, { damage: Damage; code: string; says: RegExp }>> = {
  'test:truncated@1': {
    damage: {
      component: 'transformer',
      change: (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)),
    },
    code: 'checkpointTruncated',
    says: /transformer\/diffusion_pytorch_model\.safetensors has \d+ bytes, its header promises \d+/,
  },
  'test:empty@1': {
    damage: { component: 'text_encoder', change: () => Buffer.alloc(0) },
    code: 'checkpointTruncated',
    says: /text_encoder\/model\.safetensors has 0 bytes, its header promises 8/,
  },
  'test:random@1': {
    damage: { component: 'vae', change: (bytes) => randomBytes(bytes.length).fill(0xff, 0, 8) },
    code: 'checkpointInvalid',
    says: /vae\/diffusion_pytorch_model\.safetensors is not a safetensors file: its first eight bytes give a header of \d+ bytes, at most \d+ is allowed/,
  },
  'test:missing-tensor@1': {
    damage: {
      component: 'transformer',
      change: (bytes) =>
        editTable(bytes, (table) => {
          delete table['transformer_blocks.1.norm1.linear.weight'];
        }),
    },
    code: 'tensorMissing',
    says: /transformer \(diffusers layout\) has no tensor transformer_blocks\.1\.norm1\.linear\.weight, needed for .+; it has \d+ tensors/,
  },
  'test:misshapen@1': {
    damage: {
      component: 'transformer',
      change: (bytes) =>
        editTable(bytes, (table) => {
          table['single_transformer_blocks.0.proj_out.weight']!.shape.reverse();
        }),
    },
    code: 'tensorMisshapen',
    says: /tensor single_blocks\.0\.linear2\.weight of transformer has shape \[(\d+),(\d+)\], expected \[\2,\1\]/,
  },
  'test:mixed@1': {
    damage: {
      component: 'transformer',
      // Sound in itself, and made for another T5.
      change: (bytes) =>
        editTable(bytes, (table) => {
          const { shape, data_offsets } = table['context_embedder.weight']!;
          shape[1]! /= 2;
          data_offsets[1] = (data_offsets[0] + data_offsets[1]) / 2;
        }),
    },
    code: 'modelConfigInvalid',
    says: /transformer takes text of \d+ channels, but T5 gives it with \d+ \(text_encoder_2\): the files are not of one model/,
  },
};

let folder: string;
let server: ServerProcess;
let silent: Server;
let silentUrl: string;
let picture: Uint8Array;
let inputs: Task;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-errors-'));
  const models = join(folder, 'models');
  await installModel(models, 'test:whole@1');
  for (const [air, { damage }] of Object.entries(damages)) await installModel(models, air, damage);
  picture = await drawScene(300, 200, { format: 'jpg' });
  inputs = { referenceImages: [dataUri(picture, 'image/jpeg')] };
  silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  silentUrl = `http://localhost:${(silent.address() as AddressInfo).port}/picture.png`;
  server = await ServerProcess.start({
    dataDir: join(folder, 'data'),
    env: {
      RETOUCH_MODELS_DIR: models,
      RETOUCH_FETCH_TIMEOUT: '1',
      RETOUCH_ALLOW_PRIVATE_NETWORK: 'localhost',
    },
  });
});

afterAll(async () => {
  await server?.stop();
  silent.close();
  await rm(folder, { recursive: true, force: true });
});

/** One error, said the same way in both places where clients look. */
function expectError(
  { status, body }: Answer,
  expected: { status: number; code: string; says: RegExp },
): void {
  expect({ status, data: body.data, errors: body.errors?.map(({ code }) => code) }).toEqual({
    status: expected.status,
    data: [],
    errors: [expected.code],
  });
  expect(body.error).toEqual(body.errors![0]);
  expect(body.error!.message).toMatch(expected.says);
}

async function refer(...referenceImages: string[]): Promise<Answer> {
  return server.edit({ inputs: { referenceImages } });
}

describe('a wrong request', () => {
  // The engine must survive all of these in one process.
  afterEach(async () => {
    const { status } = await server.edit({ inputs, steps: 1 });
    expect(status).toBe(200);
    expect((await server.health()).engine.restarts).toBe(0);
  });

  it('with a picture that is none says what it looks like', async () => {
    const answer = await refer(dataUri(Buffer.from('<html><body>Not here</body></html>')));
    const says = /referenceImages\[0\].+is an HTML page; a PNG, JPEG or WebP is expected/;
    expectError(answer, { status: 400, code: 'invalidReferenceImages', says });
  });

  it('with a picture of random bytes says so', async () => {
    const says = /referenceImages\[1\].+a PNG, JPEG or WebP is expected/;
    const answer = await refer(dataUri(picture), randomBytes(MiB).fill(7, 0, 8).toString('base64'));
    expectError(answer, { status: 400, code: 'invalidReferenceImages', says });
  });

  it('with a picture that is cut short says of how many bytes it is', async () => {
    const half = picture.subarray(0, picture.length / 2);
    const says = new RegExp(`begins as a jpg does but cannot be decoded from its ${half.length} bytes`);
    expectError(await refer(dataUri(half)), { status: 400, code: 'invalidReferenceImages', says });
  });

  it('with a sentence for a picture names what it could be', async () => {
    const says = /found 'my cat in the garden', expected the UUID of a stored picture, an http\(s\) URL/;
    expectError(await refer('my cat in the garden'), {
      status: 400,
      code: 'invalidReferenceImages',
      says,
    });
  });

  it('of 40 MB of noise says that it is not JSON', async () => {
    const body = randomBytes(40 * MiB);
    const says = new RegExp(`body of the request \\(${body.length} bytes\\) is not JSON`);
    expectError(await server.post(body), { status: 400, code: 'invalidBody', says });
  });

  it('with 40 MB of noise for a picture says how much is taken', async () => {
    const answer = await refer(randomBytes(40 * MiB).toString('base64'));
    const says = new RegExp(`found a picture of ${40 * MiB} bytes, expected at most ${32 * MiB}`);
    expectError(answer, { status: 400, code: 'invalidReferenceImages', says });
  });

  it('that is larger than the server takes says how much it takes', async () => {
    const answer = await server.post(new Uint8Array(65 * MiB).fill(32));
    expectError(answer, { status: 413, code: 'valueTooLarge', says: /larger than 67108864 bytes/ });
  });

  it('for a pair of sizes that is not listed names the pairs that are', async () => {
    const answer = await server.edit({ inputs, width: 1024, height: 1000 });
    const says = /found 1024x1000, expected one of 1568x672, .+1024x1024, .+672x1568/;
    expectError(answer, { status: 400, code: 'unsupportedDimensions', says });
    expect(answer.body.error!.parameter).toEqual(['width', 'height']);
  });

  it('for a model that is not installed names those that are, and how to get it', async () => {
    const says = /'runware:106@1' is not installed\. Installed: retouch:mini@1 \(Retouch mini\), test:/;
    const answer = await server.edit({ inputs, model: 'runware:106@1' });
    expectError(answer, { status: 404, code: 'modelNotFound', says });
    expect(answer.body.error!.message).toContain(
      "'retouch pull runware:106@1' installs FLUX.1 Kontext [dev] (FLUX.1 [dev] Non-Commercial License)",
    );
  });

  it('for a URL that hangs names the time it was given', async () => {
    const says = /referenceImages\[0\].+localhost:\d+\/picture\.png did not answer completely within 1 s/;
    expectError(await refer(silentUrl), { status: 400, code: 'downloadFailed', says });
  });

  it.each(['http://127.0.0.1:1/x.png', 'http://169.254.169.254/latest', 'http://[::1]/x.png'])(
    'for the private address %s is refused before it is asked',
    async (url) => {
      const says = /referenceImages\[0\].+(loopback|private|reserved)/;
      expectError(await refer(url), { status: 400, code: 'invalidReferenceImages', says });
    },
  );
});

describe('a model', () => {
  it('beside the embedded one draws the same picture as its original', async () => {
    const own = await server.draw({ inputs, seed: 9, steps: 1 });
    const copy = await server.draw({ inputs, seed: 9, steps: 1, model: 'test:whole@1' });
    // The files differ in their metadata, which names the model.
    const [pixels, expected] = await Promise.all([copy, own].map((bytes) => decodeImage(bytes)));
    expect(Buffer.compare(pixels!.data, expected!.data)).toBe(0);
  });

  it.each(Object.entries(damages))('%s is refused by what is wrong in which file', async (model, wrong) => {
    expectError(await server.edit({ inputs, model }), { status: 500, ...wrong });
    expect((await server.edit({ inputs, steps: 1 })).status).toBe(200);
    expect((await server.health()).engine.restarts).toBe(0);
  });

  it('that needs more memory than the engine may use is refused with both numbers', async () => {
    const small = await ServerProcess.start({
      dataDir: join(folder, 'small'),
      env: { RETOUCH_MEMORY_LIMIT: '12MB' },
    });
    try {
      const answer = await small.edit({ inputs });
      const says =
        /Not enough memory for the .+ of retouch:mini@1 .+: [\d.]+ MiB are needed .+ and the engine may use 12\.0 MiB/;
      expectError(answer, { status: 503, code: 'notEnoughMemory', says });
      expect((await small.health()).engine).toMatchObject({ state: 'ready', restarts: 0 });
    } finally {
      await small.stop();
    }
  });
});

it('errors of several tasks and results are told apart by taskUUID, beside what succeeded', async () => {
  const good = editTask({ inputs, steps: 1 });
  const broken = editTask({ inputs, model: 'test:truncated@1', numberResults: 3 });
  const unknown = editTask({ inputs, model: 'no:model@1' });
  const { status, body } = await server.post([broken, good, unknown]);
  expect(status).toBe(200);
  expect(body.data.map(({ taskUUID }) => taskUUID)).toEqual([good.taskUUID]);
  expect(body.errors?.map(({ code, taskUUID }) => [code, taskUUID])).toEqual([
    ['checkpointTruncated', broken.taskUUID],
    ['modelNotFound', unknown.taskUUID],
  ]);
});
