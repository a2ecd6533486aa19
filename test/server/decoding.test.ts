/** An image of a stranger that takes for ever to decode costs the tasks of others nothing. */

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageDecoder } from '../../src/engine/image/decoder.ts';
import { type Bench, createBench, drawPicture, task } from './fixture.ts';

const module = new URL('../fixtures/scripted-decoder.ts', import.meta.url);
const base64 = (text: string) => Buffer.from(text).toString('base64');

let bench: Bench;
let decoder: ImageDecoder;

beforeEach(async () => {
  bench = await createBench({ 'api-keys': 'key-of-anna,key-of-bert' });
  decoder = new ImageDecoder({ module, processes: 1, patience: 2500 });
  bench.sources.decoder = decoder;
});

afterEach(async () => {
  decoder.close();
  await bench.close();
});

const post = (key: string, fields: object) =>
  bench.post([{ ...task, taskUUID: randomUUID(), ...fields }], { authorization: `Bearer ${key}` });
const referring = (...pictures: string[]) => ({ inputs: { referenceImages: pictures.map(base64) } });

describe('an image that is not decoded in time', () => {
  it('is refused by the parameter, and a task without images is done meanwhile', async () => {
    const ended: string[] = [];
    const note = <T>(name: string, answer: Promise<T>) => answer.finally(() => ended.push(name));
    const slow = note('slow', post('key-of-anna', referring('hang')));
    const others = [1, 2, 3].map((n) => note(`other ${n}`, post('key-of-bert', { seed: n })));
    for (const { status } of await Promise.all(others)) expect(status).toBe(200);
    expect(ended).toEqual(['other 1', 'other 2', 'other 3']);
    const { status, body } = await slow;
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      code: 'invalidReferenceImages',
      parameter: 'inputs.referenceImages',
      message:
        "Invalid value for 'inputs.referenceImages[0]': Decoding the image took more than 2.5 s, which is the limit.",
    });
    // It never was in the engine's queue.
    expect(bench.engine.plans.map(({ seed }) => seed)).toEqual([1n, 2n, 3n]);
  });

  it('holds up an image of another key for its own time alone, however many wait behind it', async () => {
    const ended: string[] = [];
    const note = <T>(name: string, answer: Promise<T>) => answer.finally(() => ended.push(name));
    const slow = [1, 2, 3].map((n) => note(`slow ${n}`, post('key-of-anna', referring('hang'))));
    const other = note('other', post('key-of-bert', referring('image')));
    expect((await other).status).toBe(200);
    for (const { status } of await Promise.all(slow)) expect(status).toBe(400);
    expect(ended.indexOf('other')).toBeLessThanOrEqual(2);
    expect(ended.at(-1)).toBe('slow 3');
  });

  it('is a picture of its key to the decoder, whatever brings it', async () => {
    const owners: (string | undefined)[] = [];
    const answer = { width: 64, height: 64, format: 'png', bytes: await drawPicture(64, 64) } as const;
    bench.sources.decoder = {
      async check(_, options) {
        owners.push(options?.owner);
        return answer;
      },
      async prepareMask(_, __, options) {
        owners.push(options?.owner);
        return answer;
      },
      async prepareUpload(_, __, options) {
        owners.push(options?.owner);
        return answer;
      },
    };
    const inputs = { referenceImages: [base64('image')], maskImage: base64('image') };
    for (const key of ['key-of-anna', 'key-of-bert']) {
      await post(key, { inputs });
      const upload = { taskType: 'imageUpload', taskUUID: randomUUID(), image: base64('image') };
      await bench.post([upload], { authorization: `Bearer ${key}` });
    }
    const [anna, bert] = [owners[0], owners.at(-1)];
    expect(anna).not.toBe(bert);
    expect(owners).toEqual([anna, anna, anna, bert, bert, bert]);
  });
});
