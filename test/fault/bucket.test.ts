/** A server whose images are in a bucket that is available, unreachable, or misconfigured. The engine is scripted. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { dataUri, download, ServerProcess } from '../e2e/server-process.ts';
import { hasRedis, RedisProcess } from '../fixtures/redis-process.ts';
import { Storage } from '../fixtures/s3.ts';

const scripted = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));

let dataDir: string;
let storage: Storage;
let server: ServerProcess | undefined;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'retouch-bucket-'));
  storage = await Storage.start();
});

afterEach(async () => {
  await server?.stop();
  server = undefined;
  await storage.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(env: Record<string, string> = {}): Promise<ServerProcess> {
  const command = [process.execPath, scripted] as const;
  server = await ServerProcess.start({ dataDir, command, env: { ...storage.env, ...env } });
  return server;
}

const ready = async () => (await fetch(`${server!.url}/ready`)).status;

async function poll(taskUUID: string) {
  const { body } = await server!.post([{ taskType: 'getResponse', taskUUID }]);
  return body;
}

it.skipIf(!hasRedis)('is tried once at the start of a server whose fleet uses the same bucket', async () => {
  const redis = await RedisProcess.start(dataDir);
  try {
    await start({ RETOUCH_REDIS: redis.url });
    expect(storage.requests.filter((request) => /^PUT .*\.probe$/.test(request))).toHaveLength(1);
  } finally {
    await server?.stop();
    server = undefined;
    await redis.kill();
  }
});

it('stores images in the bucket, answers them, and takes them as references', async () => {
  const { url } = await start();
  const { body } = await server!.edit({ positivePrompt: 'step', outputFormat: 'PNG' });
  const [item] = body.data;
  expect(item!.imageURL).toBe(`${url}/images/${item!.imageUUID}.png`);
  expect(await download(item!.imageURL)).toEqual(Buffer.from([1, 2, 3]));
  expect(await storage.bucket().get(`${String(item!.imageUUID).slice(0, 2)}/${item!.imageUUID}.png`)).toEqual(
    {
      bytes: Buffer.from([1, 2, 3]),
      contentType: 'image/png',
    },
  );
  // Only inputs that wait are files of the front.
  expect(await readdir(dataDir)).not.toContain('images');
  const removal = {
    taskType: 'mediaStorage',
    taskUUID: randomUUID(),
    operation: 'delete',
    media: item!.imageUUID,
  };
  expect((await server!.post([removal])).status).toBe(200);
  expect((await fetch(item!.imageURL)).status).toBe(404);
});

it('answers URLs of the bucket itself when it is asked to', async () => {
  await start({ RETOUCH_S3_URLS: 'presigned', RETOUCH_S3_PREFIX: 'shop/' });
  const { body } = await server!.edit({ positivePrompt: 'step' });
  expect(body.data[0]!.imageURL.startsWith(`${storage.endpoint}/images/shop/`)).toBe(true);
  expect(await download(body.data[0]!.imageURL)).toEqual(Buffer.from([1, 2, 3]));
});

it('keeps an image that is finished while the bucket is away, accepts tasks, and says why it waits', async () => {
  await start();
  expect(await ready()).toBe(200);
  await storage.pause();
  const taskUUIDs = [randomUUID(), randomUUID()];
  for (const taskUUID of taskUUIDs) {
    const task = { taskUUID, deliveryMethod: 'async', positivePrompt: 'step' };
    expect((await server!.edit(task)).body.data[0]).toMatchObject({ taskUUID });
  }
  await expect.poll(ready).toBe(503);
  expect(await (await fetch(`${server!.url}/ready`)).text()).toContain('does not answer');
  const upload = { taskType: 'imageUpload', taskUUID: randomUUID(), image: dataUri(await onePixel()) };
  const refused = await server!.post([upload]);
  expect(refused.status).toBe(503);
  expect(refused.body.errors![0]!.code).toBe('assetWriteFailed');
  await storage.resume();
  for (const taskUUID of taskUUIDs)
    await expect.poll(async () => (await poll(taskUUID)).data[0]?.imageURL).toBeDefined();
  await expect.poll(ready).toBe(200);
});

it('makes the image again after a kill while it waited for the bucket', async () => {
  await start();
  await storage.pause();
  const taskUUID = randomUUID();
  await server!.edit({ taskUUID, deliveryMethod: 'async', positivePrompt: 'step' });
  await expect.poll(ready).toBe(503);
  server!.child.kill('SIGKILL');
  await server!.exit;
  await storage.resume();
  await start();
  await expect.poll(async () => (await poll(taskUUID)).data[0]?.imageURL).toBeDefined();
});

it.each([
  [{ AWS_ACCESS_KEY_ID: '' }, 'the environment has no AWS_ACCESS_KEY_ID'],
  [{ AWS_SECRET_ACCESS_KEY: 'wrong' }, 'HTTP status 403 (SignatureDoesNotMatch)'],
  [{ RETOUCH_S3_BUCKET: 'missing' }, 'HTTP status 404 (NoSuchBucket)'],
  [{ RETOUCH_S3_ENDPOINT: 'http://127.0.0.1:1' }, 'The bucket images at 127.0.0.1:1 does not answer'],
])('does not start with %o', async (env, message) => {
  const failed = ServerProcess.launch({
    ...{ dataDir, command: [process.execPath, scripted], env: { ...storage.env, ...env } },
  });
  expect((await failed.exit).code).not.toBe(0);
  expect(failed.stderr).toContain(message);
});

async function onePixel(): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  const background = { r: 255, g: 0, b: 0 };
  return sharp({ create: { width: 64, height: 64, channels: 3, background } })
    .png()
    .toBuffer();
}
