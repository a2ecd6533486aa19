/** What belongs to one API key is nothing to another: it is answered as what does not exist is. */

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, drawPicture, task, taskUUID } from './server-fixture.ts';

type Headers = { authorization: string };

let bench: Bench;
let mine: Headers;
let theirs: Headers;

beforeEach(async () => {
  bench = await createBench();
  const enter = (name: string) => ({ authorization: `Bearer ${bench.keys.add(name).key}` });
  [mine, theirs] = [enter('mine'), enter('theirs')];
});

afterEach(() => bench.close());

async function ask(headers: Headers, taskType: string, fields: object = {}) {
  const { status, body } = await bench.post([{ taskType, taskUUID: randomUUID(), ...fields }], headers);
  return { status, code: body.error?.code, message: body.error?.message, item: body.data[0] };
}

const edit = (headers: Headers, referenceImages: unknown[]) =>
  ask(headers, 'imageInference', { ...task, taskUUID: randomUUID(), inputs: { referenceImages } });

const unknown = randomUUID();
const without = (message: unknown, uuid: string) => String(message).replaceAll(uuid, '');

describe('a task of another key', () => {
  const about = ['getResponse', 'getTaskDetails', 'cancelTask'];

  it.each(about)('that is done is not found by %s', async (taskType) => {
    await bench.post([task], mine);
    const found = await ask(theirs, taskType, { taskUUID });
    const missing = await ask(theirs, taskType, { taskUUID: unknown });
    expect([found.status, found.code]).toEqual([404, 'taskNotFound']);
    expect(without(found.message, taskUUID)).toBe(without(missing.message, unknown));
    expect((await ask(mine, taskType, { taskUUID })).status).toBe(200);
  });

  it.each(about)('that is being made is neither told of nor stopped by %s', async (taskType) => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const working = bench.post([{ ...task, numberResults: 2 }], mine);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    expect(await ask(theirs, taskType, { taskUUID })).toMatchObject({ status: 404, code: 'taskNotFound' });
    gate.resolve();
    expect((await working).body.data).toHaveLength(2);
  });
});

describe('a picture of another key', () => {
  it('that was uploaded is not found as an input', async () => {
    const image = (await drawPicture(64, 48)).toString('base64');
    const { item } = await ask(mine, 'imageUpload', { image });
    const uuid = String(item?.imageUUID);
    const found = await edit(theirs, [uuid]);
    const missing = await edit(theirs, [unknown]);
    expect([found.status, found.code]).toEqual([404, 'mediaNotFound']);
    expect(without(found.message, uuid)).toBe(without(missing.message, unknown));
    expect(await ask(theirs, 'imageUpload', { image: uuid })).toMatchObject({ code: 'mediaNotFound' });
    expect(await ask(theirs, 'mediaStorage', { operation: 'upload', media: uuid })).toMatchObject({
      code: 'mediaNotFound',
    });
    expect(bench.engine.plans).toEqual([]);
    expect((await edit(mine, [uuid])).status).toBe(200);
  });

  it('that was made is not found as an input or to be deleted, and its address is its secret', async () => {
    const uuid = String((await ask(mine, 'imageInference', task)).item?.imageUUID);
    expect(await edit(theirs, [uuid])).toMatchObject({ status: 404, code: 'mediaNotFound' });
    expect(await ask(theirs, 'mediaStorage', { operation: 'delete', media: uuid })).toMatchObject({
      code: 'mediaNotFound',
    });
    expect((await bench.server.inject(`/images/${uuid}.jpg`)).statusCode).toBe(200);
    expect((await ask(mine, 'mediaStorage', { operation: 'delete', media: uuid })).status).toBe(200);
  });
});
