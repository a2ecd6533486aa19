/**
 * Runware's own Python SDK, unmodified, against a real server with the real engine: the current release and one a year
 * old. `.ci/run` installs each into a virtual environment, `$TEST_PYTHON_SDKS/<version>`.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { dataUri, ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const sdks = process.env.TEST_PYTHON_SDKS;
if (sdks === undefined) console.log('Skipped without TEST_PYTHON_SDKS, the folder of the Python SDKs.');

// The older one differs in what it reads, which no worker changes.
const versions = process.env.TEST_FLEET === undefined ? ['0.5.24', '0.4.33'] : ['0.5.24'];
const apiKey = 'a-key-of-the-conformance-tests';
const program = fileURLToPath(new URL('python/client.py', import.meta.url));
const run = promisify(execFile);

type Image = { imageUUID: string; imageURL: string; taskUUID: string };

describe.skipIf(sdks === undefined).each(versions)('the Python SDK %s', (version) => {
  let folder: string;
  let server: ServerProcess;
  let receiver: Server;
  const received: { imageUUID: string }[] = [];
  let image: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retouch-sdk-python-'));
    server = await ServerProcess.start({
      dataDir: folder,
      env: { RETOUCH_API_KEYS: apiKey, RETOUCH_ALLOW_PRIVATE_NETWORK: 'true' },
    });
    image = dataUri(await drawScene(256, 256));
    receiver = createServer(async (request, response) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk);
      received.push(...JSON.parse(Buffer.concat(chunks).toString()).data);
      response.end();
    }).listen(0, '127.0.0.1');
  });

  afterAll(async () => {
    await server?.stop();
    receiver?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function call(name: string, facts: object = {}): Promise<Image[]> {
    const url = `${server.url.replace('http', 'ws')}/v1`;
    const words = [program, url, apiKey, name, JSON.stringify({ image, version, ...facts })];
    const { stdout } = await run(join(sdks!, version, 'bin', 'python'), words, { timeout: 110_000 });
    const answer = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(answer.error).toBeUndefined();
    return answer.value;
  }

  it.each(['inputs', 'references', 'top_level'])('edits: the image as %s', async (name) => {
    const images = await call(name);
    expect(images).toHaveLength(1);
    expect(images[0]!.imageURL).toMatch(/^http/);
  });

  it('reads the image of an async task', async () => {
    expect(await call('polled')).toMatchObject([{ imageURL: expect.stringMatching(/^http/) }]);
  });

  it('polls for four images of one task, which come one by one, and has each once', async () => {
    const images = await call('polled_many');
    expect(new Set(images.map(({ imageUUID }) => imageUUID)).size).toBe(version === '0.4.33' ? 1 : 4);
    expect(images).toHaveLength(version === '0.4.33' ? 1 : 4);
  });

  it('waits for four images of a sync task', async () => {
    const images = await call('many');
    expect(new Set(images.map(({ imageURL }) => imageURL)).size).toBe(4);
  });

  it('has the images of a sync task with a webhook both ways, over the same socket', async () => {
    received.length = 0;
    const { port } = receiver.address() as AddressInfo;
    const answer = await call('sync_webhook', { webhook: `http://127.0.0.1:${port}/` });
    await expect.poll(() => new Set(received.map(({ imageUUID }) => imageUUID)).size).toBe(2);
    expect(received).toHaveLength(2);
    // The old SDK takes the first image for the acknowledgement of a task whose images go to the webhook alone.
    if (version === '0.4.33') expect(answer).toMatchObject({ taskType: 'imageInference' });
    else
      expect(answer.map(({ imageUUID }) => imageUUID).sort()).toEqual(
        received.map(({ imageUUID }) => imageUUID).sort(),
      );
  });

  it('has the images of an async task sent to a webhook', async () => {
    received.length = 0;
    const { port } = receiver.address() as AddressInfo;
    await call('webhook', { webhook: `http://127.0.0.1:${port}/` });
    // The old SDK leaves numberResults out of async tasks.
    const count = version === '0.4.33' ? 1 : 2;
    await expect.poll(() => new Set(received.map(({ imageUUID }) => imageUUID)).size).toBe(count);
  });

  it('guides by an image', async () => {
    expect(await call('adapter', { adapter: 'retouch:mood@1' })).toHaveLength(1);
  });

  it('ends a cache at a step', async () => {
    expect(await call('cache')).toHaveLength(1);
  });
});
