import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Bench, createBench, FakeEngine, task } from './fixture.ts';

type Item = Record<string, unknown>;

let bench: Bench;
let address: string;
const sockets: WebSocket[] = [];

beforeEach(async () => {
  bench = await createBench();
  address = (await bench.server.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws');
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await bench.close();
});

async function connect(): Promise<{ send(...tasks: unknown[]): void; items: Item[]; errors: Item[] }> {
  const socket = new WebSocket(`${address}/v1`);
  sockets.push(socket);
  const items: Item[] = [];
  const errors: Item[] = [];
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as { data?: Item[]; errors?: Item[] };
    items.push(...(frame.data ?? []));
    errors.push(...(frame.errors ?? []));
  });
  await once(socket, 'open');
  const send = (...tasks: unknown[]) => socket.send(JSON.stringify(tasks));
  send({ taskType: 'authentication', apiKey: 'k' });
  await expect.poll(() => items.length).toBe(1);
  items.length = 0;
  return { send, items, errors };
}

const edit = (fields: object = {}) => ({
  ...task,
  taskUUID: randomUUID(),
  deliveryMethod: 'async',
  ...fields,
});
const watched = (items: Item[], status?: string) =>
  items.filter((item) => item.taskType === 'watchTask' && (!status || item.status === status));

/** Steps that wait until they are let go. */
function gate(): { open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.engine.script = () => promise;
  return { open: resolve };
}

describe('watchTask', () => {
  it('tells the steps of the image and its end, sent in one frame with the task', async () => {
    const client = await connect();
    const task = edit({ steps: 4 });
    client.send(task, { taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => watched(client.items, 'success').length).toBe(1);
    expect(watched(client.items)[0]).toMatchObject({ taskUUID: task.taskUUID, status: 'waiting' });
    expect(client.items.some((item) => item.step === 4 && item.steps === 4)).toBe(true);
    expect(client.errors).toEqual([]);
  });

  it('tells the place in the queue while the image waits', async () => {
    const client = await connect();
    const block = gate();
    const [first, second] = [edit(), edit({ numberResults: 2 })];
    client.send(first);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    client.send(second, { taskType: 'watchTask', taskUUID: second.taskUUID });
    await expect.poll(() => watched(client.items).map((item) => item.queuePosition)).toContain(2);
    expect(watched(client.items).map((item) => item.queuePosition)).toContain(1);
    block.open();
    await expect.poll(() => watched(client.items, 'success').length).toBe(2);
  });

  it('asks the engine for previews only when a watcher wants them', async () => {
    const client = await connect();
    const [without, plain, wanted] = [edit({ steps: 8 }), edit({ steps: 8 }), edit({ steps: 8 })];
    client.send(without);
    client.send(plain, { taskType: 'watchTask', taskUUID: plain.taskUUID });
    client.send(wanted, { taskType: 'watchTask', taskUUID: wanted.taskUUID, previews: 3 });
    await expect.poll(() => watched(client.items, 'success').length).toBe(2);
    expect(bench.engine.plans.map((plan) => plan.previewEvery)).toEqual([0, 0, 2]);
  });

  it('sends previews as data URIs, and what a step cache and the faces came to', async () => {
    bench.engine.run = async function* (plan) {
      const bytes = new Uint8Array([1, 2, 3]);
      yield { type: 'preview', index: 0, image: { bytes, format: 'jpg', width: 1, height: 1 } };
      yield { type: 'cache-end', cache: 'tea', evaluations: 8, reused: 3, savedMilliseconds: 120 };
      yield { type: 'faces-end', faces: [], found: 0, milliseconds: 1 };
      yield* new FakeEngine().run(plan);
    };
    const client = await connect();
    const task = edit();
    client.send(task, { taskType: 'watchTask', taskUUID: task.taskUUID, previews: 1 });
    await expect.poll(() => watched(client.items, 'success').length).toBe(1);
    const facts = Object.assign({}, ...watched(client.items));
    expect(facts).toMatchObject({
      previewDataURI: 'data:image/jpeg;base64,AQID',
      cache: { evaluations: 8, reused: 3, savedMilliseconds: 120 },
      faces: 0,
    });
  });

  it('tells a second client, and one that comes when the task is over', async () => {
    const [one, other] = [await connect(), await connect()];
    const block = gate();
    const task = edit();
    one.send(task, { taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    other.send({ taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => watched(other.items, 'processing').length).toBeGreaterThan(0);
    block.open();
    await expect.poll(() => watched(other.items, 'success').length).toBe(1);
    const late = await connect();
    late.send({ taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => watched(late.items)).toMatchObject([{ status: 'success' }]);
  });

  it('ends with errors for images that were cancelled', async () => {
    const client = await connect();
    const block = gate();
    const task = edit();
    client.send(task, { taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    client.send({ taskType: 'cancelTask', taskUUID: task.taskUUID });
    await expect.poll(() => watched(client.items, 'error').length).toBe(1);
    block.open();
  });

  it('answers taskNotFound for a task that does not exist', async () => {
    const client = await connect();
    client.send({ taskType: 'watchTask', taskUUID: randomUUID() });
    await expect.poll(() => client.errors).toMatchObject([{ code: 'taskNotFound' }]);
  });

  it('is answered with the state, once, over HTTP', async () => {
    const block = gate();
    const task = edit();
    await bench.post([task]);
    const { status, body } = await bench.post([{ taskType: 'watchTask', taskUUID: task.taskUUID }]);
    expect(status).toBe(200);
    expect(body.data).toMatchObject([{ taskType: 'watchTask', status: 'processing' }]);
    block.open();
  });

  it('tells nothing to a client that did not ask', async () => {
    const client = await connect();
    const task = edit();
    client.send(task);
    await expect.poll(() => client.items.length).toBe(1);
    await sleep(50);
    expect(watched(client.items)).toEqual([]);
  });

  it('does not hold up the end of the server', async () => {
    const client = await connect();
    const block = gate();
    const task = edit();
    client.send(task, { taskType: 'watchTask', taskUUID: task.taskUUID });
    await expect.poll(() => watched(client.items).length).toBeGreaterThan(0);
    await bench.server.close();
    block.open();
  });
});
