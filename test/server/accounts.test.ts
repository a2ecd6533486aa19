/** An API key cannot see the tasks and images of another: they are reported as not found. */

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, drawPicture, task, taskUUID } from './fixture.ts';

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

describe('the taskUUID of another key', () => {
  it('may be used again: no key learns which UUIDs the others use', async () => {
    const [first, second] = [
      await bench.post([{ ...task, seed: 1 }], mine),
      await bench.post([{ ...task, seed: 2 }], theirs),
    ];
    expect([first.status, second.status]).toEqual([200, 200]);
    const poll = [{ taskType: 'getResponse', taskUUID }];
    const seeds = async (headers: Headers) =>
      (await bench.post(poll, headers)).body.data.map(({ seed }) => seed);
    expect([await seeds(mine), await seeds(theirs)]).toEqual([[1], [2]]);
    expect((await bench.post([task], theirs)).body.error?.code).toBe('conflictTaskUUID');
  });

  it('may be used again while that task is still being resolved', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const [first, second] = [bench.post([task], mine), bench.post([task], theirs)];
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    gate.resolve();
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
  });
});

describe('a limit on the images of a key', () => {
  const asyncTask = (fields: object = {}) => ({
    ...task,
    ...fields,
    taskUUID: randomUUID(),
    deliveryMethod: 'async',
  });

  async function accepted(requests: object[][]): Promise<[accepted: number, refused: unknown[]]> {
    const limited = await createBench({ 'key-limit': '5' });
    try {
      limited.engine.script = (_, signal) =>
        new Promise((_, fail) => signal.addEventListener('abort', () => fail(new Error('the test is over'))));
      const answers = await Promise.all(requests.map((request) => limited.post(request)));
      const data = answers.flatMap(({ body }) => body.data);
      return [data.length, answers.flatMap(({ body }) => [...new Set(body.errors?.map(({ code }) => code))])];
    } finally {
      await limited.close();
    }
  }

  it('holds for 50 tasks in one request', async () => {
    expect(await accepted([Array.from({ length: 50 }, () => asyncTask())])).toEqual([
      5,
      ['rateLimitExceeded'],
    ]);
  });

  it('holds for 30 requests at once, each with a reference picture', async () => {
    const referenceImages = [(await drawPicture(64, 48)).toString('base64')];
    const requests = Array.from({ length: 30 }, () => [asyncTask({ inputs: { referenceImages } })]);
    expect((await accepted(requests))[0]).toBe(5);
  });
});

describe('the queue of a server with keys', () => {
  it('gives each key its turn: one image of a second key does not wait for twenty of the first', async () => {
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const many = bench.post([{ ...task, numberResults: 20, seed: 100 }], mine);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    const one = bench.post([{ ...task, seed: 1 }], theirs);
    await expect.poll(async () => (await bench.server.inject('/health')).json().queue.depth).toBe(21);
    gate.resolve();
    await Promise.all([many, one]);
    expect(bench.engine.plans.map(({ seed }) => Number(seed)).indexOf(1)).toBe(1);
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
