import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { probeImage } from '../../src/engine/image/image-codec.ts';
import { type Bench, createBench, drawPicture, openBench, task, temporaryFolder } from './fixture.ts';

let bench: Bench;
const servers: Server[] = [];

beforeEach(async () => {
  bench = await createBench({ 'allow-private-network': '127.0.0.1', 'pixel-limit': '1000000' });
});

afterEach(async () => {
  await bench.close();
  for (const server of servers.splice(0)) server.close();
});

const imageUpload = async (image: unknown) =>
  bench.post([{ taskType: 'imageUpload', taskUUID: randomUUID(), image }]);
const mediaStorage = async (operation: string, media: unknown, headers = {}) =>
  bench.post([{ taskType: 'mediaStorage', taskUUID: randomUUID(), operation, media }], headers);

async function download(url: unknown) {
  const { statusCode, headers, rawPayload } = await bench.server.inject(new URL(String(url)).pathname);
  return { statusCode, headers, bytes: rawPayload };
}

describe('imageUpload', () => {
  it('answers with the UUID and the URL of the picture, byte for byte', async () => {
    const picture = await drawPicture(64, 48, 'jpg');
    const { status, body } = await imageUpload(picture.toString('base64'));
    expect(status).toBe(200);
    expect(body).toEqual({
      data: [
        {
          taskType: 'imageUpload',
          taskUUID: expect.any(String),
          imageUUID: expect.stringMatching(/^[0-9a-f-]{36}$/),
          imageURL: expect.stringMatching(/\/images\/[0-9a-f-]{36}\.jpg$/),
        },
      ],
    });
    const { statusCode, headers, bytes } = await download(body.data[0]!.imageURL);
    expect([statusCode, headers['content-type'], picture.equals(bytes)]).toEqual([200, 'image/jpeg', true]);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'",
    });
  });

  it('takes URLs, data URIs, and the UUIDs of pictures that are there', async () => {
    const picture = await drawPicture(64, 48);
    const server = createServer((_, response) => response.end(picture));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/photo`;
    const first = await imageUpload(url);
    const second = await imageUpload(`data:image/png;base64,${picture.toString('base64')}`);
    const third = await imageUpload(first.body.data[0]!.imageUUID);
    const uuids = [first, second, third].map(({ body }) => body.data[0]?.imageUUID);
    expect(new Set(uuids).size).toBe(3);
    for (const uuid of uuids)
      expect(picture.equals((await bench.assets.get(String(uuid)))!.bytes)).toBe(true);
  });

  it('is a reference of later tasks by its UUID', async () => {
    const picture = await drawPicture(400, 300);
    const { imageUUID } = (await imageUpload(picture.toString('base64'))).body.data[0]!;
    const edit = await bench.post([{ ...task, inputs: { referenceImages: [imageUUID] } }]);
    expect(edit.status).toBe(200);
    const [plan] = bench.engine.plans;
    expect([plan?.width, plan?.height, picture.equals(plan!.references[0]!)]).toEqual([1184, 880, true]);
  });

  it('keeps BMP and GIF as PNG, and makes large ones smaller', async () => {
    const bmp = readFileSync(new URL('../data/bmp/24.bmp', import.meta.url));
    const create = { width: 3000, height: 30, channels: 3 as const, background: '#123456' };
    const gif = await sharp({ create: { ...create, width: 20 } })
      .gif()
      .toBuffer();
    const wide = await sharp({ create }).webp().toBuffer();
    const kept = await Promise.all(
      [bmp, gif, wide].map(async (bytes) => {
        const { imageURL } = (await imageUpload(bytes.toString('base64'))).body.data[0]!;
        return probeImage((await download(imageURL)).bytes);
      }),
    );
    expect(kept).toEqual([
      { format: 'png', width: 7, height: 5 },
      { format: 'png', width: 20, height: 30 },
      { format: 'webp', width: 2048, height: 20 },
    ]);
  });

  it.each([
    ['a path', '/etc/passwd'],
    ['a local file', 'file:///etc/passwd'],
    ['an inside address', 'http://169.254.169.254/latest'],
    ['text', Buffer.from('hello').toString('base64')],
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>').toString('base64')],
  ])('refuses %s', async (_, image) => {
    const { status, body } = await imageUpload(image);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      code: 'invalidImage',
      parameter: 'image',
      taskType: 'imageUpload',
      documentation: expect.stringContaining('#request-image'),
    });
  });

  it('refuses more pixels than configured', async () => {
    const create = { width: 1001, height: 1000, channels: 3 as const, background: '#123456' };
    const picture = await sharp({ create }).png().toBuffer();
    const { body } = await imageUpload(picture.toString('base64'));
    expect(body.error).toMatchObject({
      code: 'invalidImage',
      message: expect.stringContaining('at most 1000000 pixels'),
    });
  });

  it('needs a picture', async () => {
    expect((await imageUpload(undefined)).body.error?.code).toBe('missingImage');
    expect((await imageUpload('')).body.error?.code).toBe('invalidImageLength');
  });
});

describe('mediaStorage', () => {
  it('uploads and deletes', async () => {
    const picture = (await drawPicture(64, 48)).toString('base64');
    const { body } = await mediaStorage('upload', picture);
    const [item] = body.data;
    expect(item).toMatchObject({ taskType: 'mediaStorage', operation: 'upload' });
    expect((await download(item!.mediaURL)).statusCode).toBe(200);
    const gone = await mediaStorage('delete', item!.mediaUUID);
    expect(gone.body.data).toEqual([
      {
        taskType: 'mediaStorage',
        taskUUID: expect.any(String),
        operation: 'delete',
        mediaUUID: item!.mediaUUID,
      },
    ]);
    expect((await download(item!.mediaURL)).statusCode).toBe(404);
    expect((await mediaStorage('delete', item!.mediaUUID)).body.error).toMatchObject({
      code: 'mediaNotFound',
      parameter: 'media',
    });
  });

  it('deletes a picture that a task made', async () => {
    const { imageUUID, imageURL } = (await bench.post([task])).body.data[0]!;
    expect((await mediaStorage('delete', String(imageUUID).toUpperCase())).status).toBe(200);
    expect((await download(imageURL)).statusCode).toBe(404);
  });

  it.each([
    ['delete', 'not a UUID', 'invalidMedia'],
    ['delete', '../../etc/passwd', 'invalidMedia'],
    ['delete', undefined, 'missingMedia'],
    ['move', 'x', 'invalidOperation'],
    [undefined, 'x', 'missingOperation'],
  ])('%s of %s is %s', async (operation, media, code) => {
    const { status, body } = await mediaStorage(operation as string, media);
    expect([status, body.error?.code]).toEqual([400, code]);
  });

  it("leaves other accounts' pictures alone", async () => {
    const mine = { authorization: `Bearer ${bench.keys.add('mine').key}` };
    const theirs = { authorization: `Bearer ${bench.keys.add('theirs').key}` };
    const picture = (await drawPicture(64, 48)).toString('base64');
    const { mediaUUID } = (await mediaStorage('upload', picture, mine)).body.data[0]!;
    expect((await mediaStorage('delete', mediaUUID, theirs)).body.error?.code).toBe('mediaNotFound');
    expect((await mediaStorage('delete', mediaUUID, mine)).status).toBe(200);
  });
});

describe('an upload', () => {
  const day = 86_400_000;

  it('goes when nobody used it for the time configured, and its use counts', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    await using folder = await temporaryFolder();
    let server = await openBench(folder.path, { retention: '3' });
    const upload = async () => {
      const image = (await drawPicture(8, 8)).toString('base64');
      const { body } = await server.post([{ taskType: 'imageUpload', taskUUID: randomUUID(), image }]);
      return String(body.data[0]!.imageUUID);
    };
    try {
      const [left, used] = [await upload(), await upload()];
      vi.advanceTimersByTime(2 * day);
      await server.post([{ ...task, inputs: { referenceImages: [used] } }]);
      vi.advanceTimersByTime(2 * day);
      // Expired images are removed at a start.
      await server.close();
      server = await openBench(folder.path, { retention: '3' });
      await expect.poll(() => server.assets.get(left)).toBeUndefined();
      expect(await server.assets.get(used)).toBeDefined();
      const gone = await server.post([
        { taskType: 'mediaStorage', taskUUID: randomUUID(), operation: 'delete', media: left },
      ]);
      expect(gone.body.error?.code).toBe('mediaNotFound');
    } finally {
      vi.useRealTimers();
      await server.close();
    }
  });
});

describe('a quota of stored bytes', () => {
  it('refuses an upload beyond it, and takes it again after a deletion', async () => {
    const image = await drawPicture(64, 48);
    const server = await createBench({ 'key-storage': String(2 * image.length) });
    const upload = async () =>
      server.post([{ taskType: 'imageUpload', taskUUID: randomUUID(), image: image.toString('base64') }]);
    try {
      const answers = await Promise.all([upload(), upload(), upload(), upload()]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 403, 403]);
      const refused = answers.find(({ status }) => status === 403)!.body.error!;
      expect(refused.code).toBe('storageLimitExceeded');
      expect(refused.message).toContain(`at most ${2 * image.length} together`);
      // A made image counts as well, and its size is not known before: at the quota no task is accepted.
      expect((await server.post([{ ...task }])).body.error?.code).toBe('storageLimitExceeded');
      const media = answers.find(({ status }) => status === 200)!.body.data[0]!.imageUUID;
      await server.post([{ taskType: 'mediaStorage', taskUUID: randomUUID(), operation: 'delete', media }]);
      expect((await upload()).status).toBe(200);
    } finally {
      await server.close();
    }
  });
});
