/** The official `@runware/sdk-js`, unmodified, against a real server with the real engine: only the URL is changed. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunwareServer } from '@runware/sdk-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { dataUri, download, ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const apiKey = 'a-key-of-the-conformance-tests';
const model = 'retouch:mini@1';
const size = { width: 1024, height: 1024 };
/** Few steps: what is tested is what is said, not how good the picture is. */
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

/** The package has no way to say goodbye. */
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
});
