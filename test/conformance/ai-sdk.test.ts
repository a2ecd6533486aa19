/** `@runware/ai-sdk-provider` with `ai`'s generateImage, unmodified, against a real server with the real engine. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunware } from '@runware/ai-sdk-provider';
import { generateImage } from 'ai';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { dataUri, ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

// It logs every answer as a warning.
globalThis.AI_SDK_LOG_WARNINGS = false;

const apiKey = 'a-key-of-the-conformance-tests';
const size = '1024x1024';

let folder: string;
let server: ServerProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-ai-sdk-'));
  server = await ServerProcess.start({ dataDir: folder, env: { RETOUCH_API_KEYS: apiKey } });
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

function image(key = apiKey) {
  return createRunware({ apiKey: key, baseURL: `${server.url}/v1` }).image('retouch:mini@1');
}

const runware = (fields: object) => ({
  providerOptions: { runware: { steps: 1, ...fields } },
  maxRetries: 0,
});

it('makes a picture', async () => {
  const { image: made } = await generateImage({
    model: image(),
    prompt: 'a red car',
    size,
    seed: 3,
    ...runware({}),
  });
  expect(made.mediaType).toBe('image/png');
  expect(Buffer.from(made.uint8Array).subarray(1, 4).toString()).toBe('PNG');
});

it('edits a picture given as a reference of the model', async () => {
  const scene = dataUri(await drawScene(256, 256));
  const { image: made } = await generateImage({
    model: image(),
    prompt: 'make the background green',
    size,
    ...runware({ inputs: { referenceImages: [scene] }, outputFormat: 'JPG' }),
  });
  expect(made.mediaType).toBe('image/jpeg');
});

it('makes two, each in a request of its own', async () => {
  const { images } = await generateImage({ model: image(), prompt: 'a red car', size, n: 2, ...runware({}) });
  expect(images).toHaveLength(2);
});

it('shows the words of an error', async () => {
  await expect(
    generateImage({ model: image(), prompt: 'a red car', size: '512x512', ...runware({}) }),
  ).rejects.toThrow(/Unsupported dimensions: found 512x512, expected one of .*1024x1024/);
  await expect(
    generateImage({ model: image(), prompt: 'a red car', size, ...runware({ steps: 99 }) }),
  ).rejects.toThrow(/'steps'.*found 99.*1 to 50/);
  await expect(
    generateImage({ model: image('wrong'), prompt: 'a red car', size, ...runware({}) }),
  ).rejects.toThrow(/Invalid API key/);
});
