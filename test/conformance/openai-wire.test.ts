/** The requests of programs that edit pictures over OpenAI's API, each answered so that the program finds its picture. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  type ClientRequest,
  type ImagesAnswer,
  libreChat,
  n8n,
  openWebUI,
  toInjection,
} from '../fixtures/openai-clients.ts';
import { type Bench, createBench, drawPicture } from '../server/fixture.ts';

let bench: Bench;
let picture: Buffer;

beforeEach(async () => {
  bench = await createBench({ 'api-keys': 'sk-test' });
  picture = await drawPicture(640, 360);
});

afterEach(() => bench.close());

/** The texts of the pictures, which the engine of the test makes of seeds. */
async function ask(request: ClientRequest, read: (answer: ImagesAnswer) => string[]): Promise<string[]> {
  const response = await bench.server.inject(toInjection(request));
  expect([response.statusCode, response.body]).toEqual([200, expect.any(String)]);
  const pictures = read(response.json()).map(async (url) => {
    const inline = /^data:image\/png;base64,(.+)$/.exec(url);
    if (inline) return Buffer.from(inline[1]!, 'base64').toString();
    return (await bench.server.inject({ url: new URL(url).pathname })).body;
  });
  return Promise.all(pictures);
}

const plans = () =>
  bench.engine.plans.map(({ prompt, references, width, height, steps, output }) => ({
    prompt,
    references: references.length,
    size: `${width}x${height}`,
    steps,
    format: output.format,
  }));

it('open-webui edits a picture', async () => {
  expect(await ask(openWebUI.edit(picture), openWebUI.read)).toEqual([expect.stringMatching(/^seed \d+$/)]);
  expect(plans()).toEqual([
    { prompt: 'make the sky pink', references: 1, size: '1392x752', steps: 28, format: 'png' },
  ]);
  expect(Buffer.from(bench.engine.plans[0]!.references[0]!)).toEqual(picture);
});

it('open-webui edits two pictures, two results at 512x512, which is drawn at the nearest size', async () => {
  const made = await ask(openWebUI.editMany([picture, picture]), openWebUI.read);
  expect(made).toHaveLength(2);
  expect(plans()).toHaveLength(2);
  expect(plans()[0]).toMatchObject({ references: 2, size: '1024x1024' });
});

it('open-webui makes a picture', async () => {
  expect(await ask(openWebUI.generation, openWebUI.read)).toHaveLength(1);
});

it('LibreChat edits a picture and makes one', async () => {
  expect(await ask(libreChat.edit(picture), libreChat.read)).toEqual([expect.stringMatching(/^seed \d+$/)]);
  expect(await ask(libreChat.generation, libreChat.read)).toHaveLength(1);
  expect(plans().map(({ size }) => size)).toEqual(['1392x752', '1024x1024']);
});

it('n8n edits a picture with one of the models of its list', async () => {
  expect(await ask(n8n.edit(picture), n8n.read)).toEqual([expect.stringMatching(/^seed \d+$/)]);
  expect(plans()[0]).toMatchObject({ size: '832x1248' });
});

it('n8n edits a picture with dall-e-2, answered by URL', async () => {
  expect(await ask(n8n.editOlder(picture), n8n.read)).toEqual([expect.stringMatching(/^seed \d+$/)]);
});
