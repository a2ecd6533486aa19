/**
 * The fields and forms that the five official clients need in an answer, found by running them; docs/compatibility.md
 * has the table.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Answer, type Bench, createBench, task } from '../server/fixture.ts';

type Frame = Partial<Answer>;

let bench: Bench;
let address: string;
let socket: WebSocket | undefined;

beforeEach(async () => {
  bench = await createBench({ 'api-keys': 'right' });
  address = await bench.server.listen({ port: 0, host: '127.0.0.1' });
});

afterEach(async () => {
  socket?.terminate();
  await bench.close();
});

const asked = (fields: object = {}) => ({ ...task, taskUUID: randomUUID(), ...fields });
const poll = (taskUUID: string) => ({ taskType: 'getResponse', taskUUID });

async function post(...tasks: object[]): Promise<{ status: number; body: Answer }> {
  return bench.post(tasks, { authorization: 'Bearer right' });
}

/** Sends tasks, one per frame, and returns the messages received until `enough` is true. */
async function say(
  tasks: object[],
  enough: (frames: Frame[]) => boolean,
  apiKey = 'right',
): Promise<Frame[]> {
  socket = new WebSocket(`${address.replace('http', 'ws')}/v1?sdk=js&version=1.3.2`, {
    headers: { 'X-SDK-Name': 'js', 'X-SDK-Version': '1.3.2' },
  });
  const frames: Frame[] = [];
  const content = Promise.withResolvers<void>();
  socket.on('message', (data) => {
    frames.push(JSON.parse(String(data)));
    if (enough(frames)) content.resolve();
  });
  await once(socket, 'open');
  for (const each of [{ taskType: 'authentication', apiKey }, ...tasks]) socket.send(JSON.stringify([each]));
  await content.promise;
  return frames;
}

function hold(): { open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.engine.script = () => promise;
  return { open: resolve };
}

describe('a success', () => {
  it('has no key `errors` and no key `error`, not even empty: their presence is a failure to three clients', async () => {
    const { status, body } = await post(asked());
    expect([status, Object.keys(body)]).toEqual([200, ['data']]);
    const frames = await say([asked()], ({ length }) => length === 2);
    for (const frame of frames) expect(Object.keys(frame)).toEqual(['data']);
  });

  it('has a UUID, a seed that is a number, and no null: one client validates answers strictly', async () => {
    const { body } = await post(asked());
    expect(body.data[0]).toMatchObject({ imageUUID: expect.any(String), seed: expect.any(Number) });
    expect(Object.values(body.data[0]!)).not.toContain(null);
  });
});

describe('a failure over HTTP', () => {
  it('of every task has a status of 400 or more: a 200 would be taken for a result', async () => {
    const { status, body } = await post(asked({ steps: 0 }));
    expect(status).toBe(400);
    expect(body).toMatchObject({
      data: [],
      errors: [{ code: 'invalidSteps' }],
      error: { code: 'invalidSteps' },
    });
  });

  it('of an async task is told instead of the acknowledgement', async () => {
    const { status, body } = await post(asked({ deliveryMethod: 'async', steps: 0 }));
    expect([status, body.data]).toEqual([400, []]);
  });

  it('of two parameters together names both', async () => {
    const { body } = await post(asked({ width: 512, height: 512 }));
    expect(body.error).toMatchObject({ parameter: ['width', 'height'] });
  });

  it('of some tasks is 200 with both, so that no client loses the others', async () => {
    const { status, body } = await post(asked(), asked({ steps: 0 }));
    expect([status, body.data.length, body.errors?.length]).toEqual([200, 1, 1]);
  });

  it('of the key is in `error` as well as in `errors`, and 401', async () => {
    const { status, body } = await bench.post([asked()], { authorization: 'Bearer wrong' });
    expect(status).toBe(401);
    expect(body.error).toEqual(body.errors![0]);
    expect(body.error).toMatchObject({ code: 'invalidApiKey' });
  });
});

describe('a key as the first task', () => {
  it('alone is answered with a session: a client checks its key so, without a header', async () => {
    const { status, body } = await bench.post([{ taskType: 'authentication', apiKey: 'right' }]);
    expect(status).toBe(200);
    expect(body.data).toMatchObject([
      { taskType: 'authentication', connectionSessionUUID: expect.any(String) },
    ]);
  });
});

describe('polling', () => {
  it('gives every success again in one answer, in the order of the seeds, with the status `success`', async () => {
    const asking = asked({ deliveryMethod: 'async', numberResults: 3, seed: 1 });
    expect((await post(asking)).body).toEqual({
      data: [{ taskType: 'imageInference', taskUUID: asking.taskUUID }],
    });
    const seeds = async () => (await post(poll(asking.taskUUID))).body.data.map(({ seed }) => seed);
    await expect.poll(seeds).toEqual([1, 2, 3]);
    const { body } = await post(poll(asking.taskUUID));
    expect(Object.keys(body)).toEqual(['data']);
    for (const item of body.data)
      expect(item).toMatchObject({ taskType: 'imageInference', status: 'success' });
  });

  it('over a WebSocket takes one frame', async () => {
    const asking = asked({ deliveryMethod: 'async', numberResults: 3, seed: 1 });
    await post(asking);
    await expect.poll(async () => (await post(poll(asking.taskUUID))).body.data[2]?.status).toBe('success');
    const [, answer] = await say([poll(asking.taskUUID)], ({ length }) => length === 2);
    expect(answer!.data).toHaveLength(3);
  });

  it('says while it works which UUID an image will have: without it a client waits half a minute per poll', async () => {
    const gate = hold();
    const asking = asked({ deliveryMethod: 'async' });
    await post(asking);
    const [item] = (await post(poll(asking.taskUUID))).body.data;
    expect(item).toMatchObject({ status: 'processing', imageUUID: expect.any(String) });
    gate.open();
    await expect.poll(async () => (await post(poll(asking.taskUUID))).body.data[0]?.status).toBe('success');
    expect((await post(poll(asking.taskUUID))).body.data[0]!.imageUUID).toBe(item!.imageUUID);
  });

  it('for a task that nobody knows is an error and never an empty list, on which a client waits for ever', async () => {
    const { status, body } = await post(poll(randomUUID()));
    expect([status, body.error?.code]).toEqual([404, 'taskNotFound']);
    const unknown = randomUUID();
    const [, frame] = await say([poll(unknown)], ({ length }) => length === 2);
    expect(frame).toMatchObject({ errors: [{ code: 'taskNotFound', taskUUID: unknown }] });
  });

  it('works for a task that was asked for synchronously: a client that lost its connection does so', async () => {
    const asking = asked();
    await post(asking);
    expect((await post(poll(asking.taskUUID))).body.data).toMatchObject([{ status: 'success' }]);
  });
});

describe('a UUID that is used twice', () => {
  it('is `conflictTaskUUID`, while the first is under way and after: a client resumes by it', async () => {
    const gate = hold();
    const asking = asked({ deliveryMethod: 'async' });
    await post(asking);
    expect((await post(asking)).body.error).toMatchObject({ code: 'conflictTaskUUID' });
    gate.open();
    await expect.poll(async () => (await post(poll(asking.taskUUID))).body.data[0]?.status).toBe('success');
    const { status, body } = await post(asking);
    expect([status, body.error?.code, body.error?.taskUUID]).toEqual([
      400,
      'conflictTaskUUID',
      asking.taskUUID,
    ]);
  });

  it('may be of any version', async () => {
    const { status } = await post(asked({ taskUUID: '019c42a0-c3ff-7138-be83-ee257abc5331' }));
    expect(status).toBe(200);
  });
});

describe('over a WebSocket', () => {
  it('a bad key is one error of type authentication in both forms, without a taskUUID, which would hang a client', async () => {
    const [frame] = await say([], ({ length }) => length === 1, 'wrong');
    expect(frame!.errors).toMatchObject([{ code: 'invalidApiKey', taskType: 'authentication' }]);
    expect(frame!.errors![0]).not.toHaveProperty('taskUUID');
    expect(frame!.error).toEqual(frame!.errors![0]);
  });

  it('two failing tasks have a frame each: of a frame one client reads the first error only', async () => {
    const tasks = [asked({ steps: 0 }), asked({ seed: -1 })];
    const frames = await say(tasks, ({ length }) => length === 3);
    expect(frames.slice(1).map(({ errors }) => errors!.map(({ taskUUID }) => taskUUID))).toEqual(
      tasks.map(({ taskUUID }) => [taskUUID]),
    );
  });

  it('a pong has a frame of its own: one client drops whatever comes with it', async () => {
    const frames = await say([asked(), { taskType: 'ping', ping: true }], ({ length }) => length === 3);
    const pong = frames.find(({ data }) => data?.[0]?.taskType === 'ping');
    expect(pong).toEqual({ data: [{ taskType: 'ping', pong: true }] });
  });

  it('an async task is acknowledged with one item before anything else is said of it', async () => {
    const asking = asked({ deliveryMethod: 'async', numberResults: 2 });
    const [, ack] = await say([asking], ({ length }) => length === 2);
    expect(ack).toEqual({ data: [{ taskType: 'imageInference', taskUUID: asking.taskUUID }] });
  });
});
