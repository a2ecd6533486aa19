/** The official `@runware/sdk-js`, unmodified, against a real server with the real engine: only the URL is changed. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RunwareServer } from '@runware/sdk-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { dataUri, download, ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const apiKey = 'a-key-of-the-conformance-tests';
const model = 'retouch:mini@1';
const size = { width: 1024, height: 1024 };
/** Few steps: the tests check the protocol, not the picture. */
const quick = { model, steps: 1, ...size };

let folder: string;
let server: ServerProcess;
let scene: string;
let url: string;
const clients: RunwareServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-sdk-js-'));
  server = await ServerProcess.start({ dataDir: folder, env: { RETOUCH_API_KEYS: apiKey } });
  url = `${server.url.replace('http', 'ws')}/v1`;
  scene = dataUri(await drawScene(256, 256));
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

afterEach(() => {
  for (const client of clients.splice(0)) close(client);
});

function createClient(options: object = {}): RunwareServer {
  const client = new RunwareServer({ apiKey, url, timeoutDuration: 30_000, globalMaxRetries: 1, ...options });
  clients.push(client);
  return client;
}

/** The package has no function that closes the connection. */
function close(client: RunwareServer): void {
  client._shouldReconnect = false;
  client._ws?.terminate();
}

async function connected(options?: object): Promise<RunwareServer> {
  const client = createClient(options);
  await client.ensureConnection();
  return client;
}

describe('connecting', () => {
  it('gives a session', async () => {
    const client = await connected();
    expect(client._connectionSessionUUID).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('with a bad key is refused at once, and not tried again', async () => {
    const client = createClient({ apiKey: 'wrong' });
    await expect(client.ensureConnection()).rejects.toMatchObject({ error: { code: 'invalidApiKey' } });
    expect(client._connectionError).toMatchObject({ error: { code: 'invalidApiKey', parameter: 'apiKey' } });
  });

  it('again after the connection broke, the client works on', async () => {
    const client = await connected();
    const before = client._connectionSessionUUID;
    client._ws.terminate();
    const images = await client.requestImages({ ...quick, positivePrompt: 'a red car' });
    expect(images).toHaveLength(1);
    expect(client._connectionSessionUUID).not.toBe(before);
  });
});

describe('requestImages', () => {
  it('makes a picture from words', async () => {
    const client = await connected();
    const [image] = (await client.requestImages({
      ...quick,
      positivePrompt: 'a red car',
      seed: 7,
      outputFormat: 'PNG',
      checkNSFW: false,
    }))!;
    expect(image).toMatchObject({ taskType: 'imageInference', seed: 7 });
    const bytes = await download(image!.imageURL!);
    expect(bytes.subarray(1, 4).toString()).toBe('PNG');
  });

  it('edits a picture that is given as the older top-level referenceImages', async () => {
    const client = await connected();
    const [edited] = (await client.requestImages({
      ...quick,
      positivePrompt: 'make the background green',
      referenceImages: [scene],
      outputType: 'base64Data',
      outputFormat: 'JPG',
    }))!;
    const bytes = Buffer.from(edited!.imageBase64Data!, 'base64');
    expect(bytes.subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
  });

  it('edits the result of a call before, named by its UUID', async () => {
    const client = await connected();
    const [first] = (await client.requestImages({ ...quick, positivePrompt: 'a blue house' }))!;
    const images = await client.requestImages({
      ...quick,
      positivePrompt: 'make the background green',
      referenceImages: [first!.imageUUID!],
    });
    expect(images).toHaveLength(1);
  });

  it('gives three results with three seeds, each as it is done', async () => {
    const client = await connected();
    const partial: number[] = [];
    const images = await client.requestImages({
      ...quick,
      positivePrompt: 'a green tree',
      numberResults: 3,
      seed: 100,
      onPartialImages: (some) => partial.push(some.length),
    });
    expect(images!.map(({ seed }) => seed)).toEqual([100, 101, 102]);
    expect(new Set(images!.map(({ imageUUID }) => imageUUID)).size).toBe(3);
    expect(partial).toEqual([1, 1, 1]);
  });

  it('of several at once fails only the one that is wrong, with its own error', async () => {
    const client = await connected();
    const [good, bad, other] = await Promise.allSettled([
      client.requestImages({ ...quick, positivePrompt: 'a red heart' }),
      client.requestImages({ ...quick, positivePrompt: 'a red heart', steps: 51 }),
      client.requestImages({ ...quick, positivePrompt: 'a red star', scheduler: 'Nonsense' }),
    ]);
    expect(good).toMatchObject({ status: 'fulfilled', value: [{ taskType: 'imageInference' }] });
    expect(bad).toMatchObject({
      status: 'rejected',
      reason: { error: { code: 'invalidSteps', parameter: 'steps', max: 50 } },
    });
    expect(other).toMatchObject({ status: 'rejected', reason: { error: { code: 'invalidScheduler' } } });
  });

  it('with a UUID that was used is told so', async () => {
    const client = await connected();
    const customTaskUUID = randomUUID();
    await client.requestImages({ ...quick, positivePrompt: 'a red car', customTaskUUID });
    await expect(
      client.requestImages({ ...quick, positivePrompt: 'a red car', customTaskUUID }),
    ).rejects.toMatchObject({ error: { code: 'conflictTaskUUID', taskUUID: customTaskUUID } });
  });

  it('asynchronously is acknowledged at once, and getResponse tells how far it is until it is done', async () => {
    const client = await connected();
    const taskUUID = randomUUID();
    const [ack] = (await client.requestImages({
      ...quick,
      positivePrompt: 'a red car',
      steps: 8,
      numberResults: 2,
      customTaskUUID: taskUUID,
      deliveryMethod: 'async',
    }))!;
    expect(ack).toEqual({ taskType: 'imageInference', taskUUID });
    type Polled = {
      status: string;
      imageUUID: string;
      taskType: string;
      progress?: number;
      imageURL?: string;
    };
    const seen: Polled[][] = [];
    while (!(seen.at(-1)?.length === 2 && seen.at(-1)!.every(({ status }) => status === 'success'))) {
      seen.push(await client.getResponse<Polled>({ taskUUID }));
      await sleep(100);
    }
    const uuids = seen.at(-1)!.map(({ imageUUID }) => imageUUID);
    for (const items of seen) {
      expect(items.map(({ imageUUID }) => imageUUID)).toEqual(uuids);
      for (const item of items) expect(item.taskType).toBe('imageInference');
    }
    const progress = seen.flat().flatMap((item) => (item.status === 'processing' ? [item.progress] : []));
    expect(progress.length).toBeGreaterThan(0);
    for (const value of progress) expect(value).toSatisfy((n: number) => n >= 0 && n <= 100);
    const picture = await download(seen.at(-1)![0]!.imageURL!);
    expect(picture.length).toBeGreaterThan(1000);
  });
});

describe('other tasks', () => {
  it('imageUpload keeps a picture, which its UUID then names', async () => {
    const client = await connected();
    const { imageUUID } = await client.imageUpload({ image: scene });
    const images = await client.requestImages({
      ...quick,
      positivePrompt: 'make the background green',
      // The package types it as a number.
      referenceImages: [String(imageUUID)],
    });
    expect(images).toHaveLength(1);
  });

  it('a File is sent as the picture it is', async () => {
    const client = await connected();
    const file = new File([Buffer.from(scene.split(',')[1]!, 'base64')], 'scene.png', { type: 'image/png' });
    const bytes = Buffer.from(await file.arrayBuffer()).toString('base64');
    const { mediaUUID } = await client.mediaStorage({ media: bytes, operation: 'upload' });
    expect(mediaUUID).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('modelSearch finds the embedded model', async () => {
    const client = await connected();
    const { results, totalResults } = await client.modelSearch({ search: 'mini' });
    expect(totalResults).toBeGreaterThan(0);
    expect(results).toContainEqual(expect.objectContaining({ air: model }));
  });

  it('getTaskDetails gives the request and what came of it', async () => {
    const client = await connected();
    const customTaskUUID = randomUUID();
    await client.requestImages({ ...quick, positivePrompt: 'a red car', customTaskUUID });
    const details = await client.getTaskDetails({ taskUUID: customTaskUUID });
    expect(details).toMatchObject({
      request: [expect.objectContaining({ positivePrompt: 'a red car' })],
      response: { data: [expect.objectContaining({ taskUUID: customTaskUUID })] },
    });
  });
});
