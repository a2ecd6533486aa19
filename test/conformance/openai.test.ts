/** OpenAI's npm package, unmodified, in two major versions, against a real server with the real engine. */

import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import OpenAI6 from 'openai6';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { probeImage } from '../../src/engine/image/image-codec.ts';
import { dataUri, download, ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const apiKey = 'a-key-of-the-conformance-tests';
/** Beside the typed parameters: few steps, since the picture does not matter. */
const quick = { num_inference_steps: 1 };

let folder: string;
let server: ServerProcess;
let scene: Buffer;
let sceneFile: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-openai-'));
  server = await ServerProcess.start({ dataDir: folder, env: { RETOUCH_API_KEYS: apiKey } });
  scene = Buffer.from(await drawScene(320, 240));
  sceneFile = join(folder, 'scene.png');
  await writeFile(sceneFile, scene);
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const versions = [
  ['current', OpenAI],
  ['6', OpenAI6 as unknown as typeof OpenAI],
] as const;

describe.each(versions)('the openai package, %s', (_, Client) => {
  const connect = (key = apiKey) =>
    new Client({ apiKey: key, baseURL: `${server.url}/v1`, maxRetries: 0, timeout: 100_000 });
  const picture = () => toFile(scene, 'scene.png', { type: 'image/png' });

  it('edits a file, and gets a PNG in base64 of the size that the answer says', async () => {
    const answer = await connect().images.edit({
      image: await picture(),
      prompt: 'make the background green',
      ...quick,
    });
    const bytes = Buffer.from(answer.data![0]!.b64_json!, 'base64');
    const { width, height, format } = await probeImage(bytes);
    expect(format).toBe('png');
    expect(answer).toMatchObject({ size: `${width}x${height}`, output_format: 'png', quality: 'medium' });
    // The listed size nearest to 4:3.
    expect(answer.size).toBe('1184x880');
    expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
  });

  it('edits a file that is read as a stream', async () => {
    const answer = await connect().images.edit({
      image: createReadStream(sceneFile),
      prompt: 'make the background green',
      model: 'gpt-image-1',
      size: '1536x1024',
      output_format: 'jpeg',
      output_compression: 50,
      ...quick,
    });
    const bytes = Buffer.from(answer.data![0]!.b64_json!, 'base64');
    expect(await probeImage(bytes)).toEqual({ width: 1248, height: 832, format: 'jpg' });
  });

  it('edits with several references, and answers by URL', async () => {
    const answer = await connect().images.edit({
      image: [await picture(), await picture()],
      prompt: 'make the background green',
      response_format: 'url',
      output_format: 'webp',
      ...quick,
    });
    expect(answer.data![0]!.b64_json).toBeUndefined();
    const bytes = await download(answer.data![0]!.url!);
    expect((await probeImage(bytes)).format).toBe('webp');
  });

  it('makes two pictures from words with seeds that follow each other', async () => {
    const answer = await connect().images.generate({
      prompt: 'a red car',
      n: 2,
      size: '1024x1024',
      seed: 7,
      ...quick,
    } as OpenAI.ImageGenerateParamsNonStreaming);
    expect(answer.data!.map((item) => (item as { seed?: number }).seed)).toEqual([7, 8]);
    expect(answer.data![0]!.b64_json).not.toBe(answer.data![1]!.b64_json);
  });

  it('applies a LoRA that is given beside the typed parameters', async () => {
    const edit = async (extra: object) => {
      const answer = await connect().images.edit({
        image: await picture(),
        prompt: 'make the background green',
        ...{ ...quick, seed: 1, ...extra },
      } as OpenAI.ImageEditParamsNonStreaming);
      return answer.data![0]!.b64_json!;
    };
    const lora = [{ model: 'retouch:neon@1', weight: 0.8 }];
    expect(await edit({ lora })).not.toBe(await edit({}));
  });

  it('streams previews and then the picture of an edit', async () => {
    const events = await connect().images.edit({
      image: await picture(),
      prompt: 'make the background green',
      stream: true,
      partial_images: 2,
      ...{ num_inference_steps: 3 },
    });
    const seen: string[] = [];
    const pictures: Buffer[] = [];
    for await (const event of events) {
      const index = event.type === 'image_edit.partial_image' ? ` ${event.partial_image_index}` : '';
      seen.push(`${event.type}${index} ${event.size}`);
      pictures.push(Buffer.from(event.b64_json, 'base64'));
    }
    expect(seen).toEqual([
      'image_edit.partial_image 0 1184x880',
      'image_edit.partial_image 1 1184x880',
      'image_edit.completed 1184x880',
    ]);
    for (const bytes of pictures)
      expect(await probeImage(bytes)).toMatchObject({ width: 1184, height: 880, format: 'png' });
  });

  it('streams a picture from words', async () => {
    const events = await connect().images.generate({ prompt: 'a red car', stream: true, ...quick });
    const types: string[] = [];
    for await (const { type } of events) types.push(type);
    expect(types).toEqual(['image_generation.completed']);
  });

  it('throws its own errors with our sentences, parameters and codes', async () => {
    const client = connect();
    const edit = async (fields: object) =>
      client.images.edit({ image: await picture(), prompt: 'a red car', ...quick, ...fields });
    await expect(edit({ n: 11 })).rejects.toMatchObject({
      status: 400,
      code: 'invalidN',
      param: 'n',
      type: 'invalid_request_error',
      message: expect.stringContaining("Invalid value for 'n': found 11, expected an integer from 1 to 10."),
    });
    await expect(edit({ background: 'transparent' })).rejects.toMatchObject({
      status: 400,
      param: 'background',
      message: expect.stringMatching(/'transparent' .*only 'auto', 'opaque' works/),
    });
    await expect(edit({ model: 'no:such@1' })).rejects.toBeInstanceOf(Client.NotFoundError);
    await expect(edit({ num_inference_steps: 99 })).rejects.toMatchObject({
      param: 'num_inference_steps',
      error: { min: 1, max: 50 },
    });
    await expect(
      client.images.edit({ image: await toFile(Buffer.from('no picture'), 'x.png'), prompt: 'a red car' }),
    ).rejects.toMatchObject({ status: 400, param: 'image', code: 'invalidReferenceImages' });
    await expect(connect('wrong').images.generate({ prompt: 'a car' })).rejects.toBeInstanceOf(
      Client.AuthenticationError,
    );
  });

  it('throws the same before a stream begins', async () => {
    const asked = connect().images.generate({ prompt: 'a red car', stream: true, n: 0 });
    await expect(asked).rejects.toMatchObject({ status: 400, param: 'n' });
  });

  it('is told the id of its task, which the task API knows', async () => {
    const answer = await connect().images.generate({ prompt: 'a red car', ...quick });
    const taskUUID = answer._request_id!;
    const response = await fetch(`${server.url}/v1`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}` },
      body: JSON.stringify([{ taskType: 'getTaskDetails', taskUUID }]),
    });
    expect(await response.json()).toMatchObject({
      data: [{ request: [expect.objectContaining({ taskUUID, positivePrompt: 'a red car' })] }],
    });
  });

  it('ten at once are all answered', async () => {
    const client = connect();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, seed) =>
        client.images.generate({
          prompt: 'a red car',
          seed,
          ...quick,
        } as OpenAI.ImageGenerateParamsNonStreaming),
      ),
    );
    expect(new Set(answers.map(({ data }) => data![0]!.b64_json)).size).toBe(10);
  });

  it.each([false, true])('an edit whose client leaves is not made (stream: %s)', async (stream) => {
    const leave = new AbortController();
    const asked = connect().images.generate(
      { prompt: 'a red car', n: 10, stream, ...{ num_inference_steps: 50 } },
      { signal: leave.signal },
    );
    const drained = async () => {
      for await (const _ of (await asked) as AsyncIterable<unknown>);
    };
    const ended = expect(stream ? drained() : asked).rejects.toThrow();
    await expect.poll(async () => (await server.health()).queue.depth).toBeGreaterThan(0);
    leave.abort();
    await ended;
    await expect.poll(async () => (await server.health()).queue.depth).toBe(0);
  });

  it('lists the models and finds one', async () => {
    const client = connect();
    const listed: string[] = [];
    for await (const { id, object } of client.models.list()) listed.push(`${object} ${id}`);
    expect(listed).toEqual(['model retouch:mini@1']);
    expect(await client.models.retrieve('retouch:mini@1')).toMatchObject({ owned_by: 'retouch' });
    expect(await client.models.retrieve('gpt-image-1')).toMatchObject({ id: 'gpt-image-1' });
    await expect(client.models.retrieve('no:such@1')).rejects.toMatchObject({ status: 404 });
  });
});

it('takes JSON with pictures by data URI, as image, images and objects', async () => {
  for (const pictures of [
    { image: dataUri(scene) },
    { image: [dataUri(scene)] },
    { images: [{ image_url: dataUri(scene) }] },
    { url: dataUri(scene) },
  ]) {
    const response = await fetch(`${server.url}/v1/images/edits/`, {
      method: 'POST',
      headers: { 'api-key': apiKey, 'content-type': 'application/json' },
      body: JSON.stringify({ ...pictures, prompt: 'make the background green', ...quick }),
    });
    const text = await response.text();
    expect([response.status, text.slice(0, 200)]).toEqual([200, expect.stringContaining('"b64_json"')]);
  }
});
