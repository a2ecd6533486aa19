/** Answers with large pictures: few of them are in memory at once, whatever their number. */

import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { stringifyJson } from '../../src/api/json.ts';
import type { Item } from '../../src/api/results.ts';
import type { EngineEvent, Plan } from '../../src/engine/plan.ts';
import { textOf } from '../../src/server/item-text.ts';
import { type Bench, createBench, task } from './fixture.ts';

const pictureBytes = 3_000_000;
/** Characters of a picture in base64. */
const textLength = 4_000_000;

let bench: Bench;
let url: string;
/** Pictures that were read from the store. */
let reads: number;
let read: Bench['assets']['get'];
const sockets: WebSocket[] = [];

beforeEach(async () => {
  bench = await createBench({ 'queue-limit': '5000' });
  const noise = randomBytes(pictureBytes);
  bench.engine.run = async function* (plan: Plan): AsyncGenerator<EngineEvent> {
    const { width, height, output } = plan;
    const bytes = Buffer.from(noise);
    bytes.writeBigUInt64LE(plan.seed);
    yield { type: 'image', image: { bytes, format: output.format, width, height }, milliseconds: 1 };
  };
  reads = 0;
  read = bench.assets.get.bind(bench.assets);
  // A spy would keep what it returned.
  bench.assets.get = (uuid) => {
    reads++;
    return read(uuid);
  };
  url = await bench.server.listen({ port: 0, host: '127.0.0.1' });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await bench.close();
});

async function draw(numberResults: number, seed = 1): Promise<string> {
  const taskUUID = randomUUID();
  const asked = { ...task, taskUUID, numberResults, seed, outputType: 'base64Data', outputFormat: 'PNG' };
  await bench.post([{ ...asked, deliveryMethod: 'async' }]);
  const depth = async () => (await bench.server.inject('/health')).json().queue.depth;
  await expect.poll(depth).toBe(0);
  return taskUUID;
}

const seedOf = (base64: string) => Number(Buffer.from(base64.slice(0, 12), 'base64').readUInt32LE());
const polls = (taskUUID: string, count: number) =>
  JSON.stringify(Array(count).fill({ taskType: 'getResponse', taskUUID }));

describe('an HTTP answer', () => {
  it('of 400 MB arrives whole', async () => {
    const taskUUID = await draw(1, 7);
    const response = await fetch(`${url}/v1`, { method: 'POST', body: polls(taskUUID, 100) });
    expect(response.status).toBe(200);
    let length = 0;
    for await (const chunk of response.body!) length += chunk.length;
    expect(length).toBeGreaterThan(100 * textLength);
    expect(reads).toBe(100);
  });

  it('has every picture in its order, and parses', async () => {
    const tasks = [await draw(2, 1), await draw(2, 11)];
    const body = JSON.stringify(tasks.map((taskUUID) => ({ taskType: 'getResponse', taskUUID })));
    const response = await fetch(`${url}/v1`, { method: 'POST', body });
    const { data, ...rest } = (await response.json()) as {
      data: { seed: number; imageBase64Data: string }[];
    };
    expect(rest).toEqual({});
    expect(data.map(({ seed }) => seed)).toEqual([1, 2, 11, 12]);
    for (const { seed, imageBase64Data } of data) {
      expect(imageBase64Data).toHaveLength(textLength);
      expect(seedOf(imageBase64Data)).toBe(seed);
    }
  });

  it('reads nothing on while its client does not', async () => {
    const taskUUID = await draw(1);
    const body = polls(taskUUID, 60);
    const client = createConnection({ port: Number(new URL(url).port), host: '127.0.0.1' });
    client.write(`POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await once(client, 'readable');
    await sleep(500);
    const first = reads;
    await sleep(300);
    expect(reads).toBe(first);
    expect(first).toBeLessThan(20);
    client.destroy();
  });

  it('with a picture that goes while the answer is written has its error beside the others', async () => {
    const uuids = [await draw(1, 1), await draw(1, 2)];
    const { data } = (await bench.post([{ taskType: 'getResponse', taskUUID: uuids[1] }])).body;
    const gone = String(data[0]!.imageUUID);
    vi.spyOn(bench.assets, 'get').mockImplementation(async (uuid) =>
      uuid === gone ? undefined : read(uuid),
    );
    const { status, body } = await bench.post(
      uuids.map((taskUUID) => ({ taskType: 'getResponse', taskUUID })),
    );
    expect(status).toBe(200);
    expect(body.data.map(({ seed }) => seed)).toEqual([1]);
    expect(body.errors).toMatchObject([{ code: 'mediaNotFound', status: 'error', taskUUID: uuids[1] }]);
    expect(body.error).toEqual(body.errors![0]);
  });

  it('that cannot be read from the disk is an error, and the log says why', async () => {
    const taskUUID = await draw(1);
    vi.spyOn(bench.assets, 'get').mockRejectedValue(new Error('EIO: i/o error'));
    const { status, body } = await bench.post([{ taskType: 'getResponse', taskUUID }]);
    expect([status, body.error?.code]).toEqual([500, 'internalServerError']);
    expect(bench.logged.join()).toContain('EIO');
  });
});

type Client = { socket: WebSocket; session: string; messages: string[] };

async function connect(session?: string): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1`, { maxPayload: 2 ** 30 });
  sockets.push(socket);
  const messages: string[] = [];
  socket.on('message', (data) => messages.push(String(data)));
  await once(socket, 'open');
  const entry = { taskType: 'authentication', apiKey: 'k' };
  socket.send(JSON.stringify([{ ...entry, ...(session ? { connectionSessionUUID: session } : {}) }]));
  await expect.poll(() => messages.length, { interval: 5 }).toBeGreaterThan(0);
  return { socket, messages, session: JSON.parse(messages.shift()!).data[0].connectionSessionUUID };
}

const seedsOf = ({ messages }: Client): number[] =>
  messages.flatMap((text) => (JSON.parse(text).data ?? []).map(({ seed }: { seed: number }) => seed));

describe('a WebSocket', () => {
  const sync = (numberResults: number, seed: number) => ({
    ...task,
    taskUUID: randomUUID(),
    numberResults,
    seed,
    outputType: 'base64Data',
    outputFormat: 'PNG',
  });

  /** A client that asked for three times twenty images and was gone before the first was made; all are made now. */
  async function drawForNobody(): Promise<Client> {
    const client = await connect();
    const gate = Promise.withResolvers<void>();
    const run = bench.engine.run.bind(bench.engine);
    bench.engine.run = async function* (plan, signal) {
      await gate.promise;
      yield* run(plan, signal);
    };
    for (const seed of [1, 21, 41]) client.socket.send(JSON.stringify([sync(20, seed)]));
    const depth = async () => (await bench.server.inject('/health')).json().queue.depth;
    await expect.poll(depth).toBe(60);
    client.socket.terminate();
    gate.resolve();
    await expect.poll(depth).toBe(0);
    return client;
  }

  it('delivers 200 MB that were made while the client was gone, in order, nothing twice', async () => {
    const client = await drawForNobody();
    const again = await connect(client.session);
    expect(again.session).toBe(client.session);
    await expect.poll(() => again.messages.length).toBe(60);
    expect(seedsOf(again)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
    expect(again.messages.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(60 * textLength);
    await sleep(200);
    again.socket.terminate();
    const third = await connect(client.session);
    await sleep(200);
    expect(third.messages).toEqual([]);
  });

  it('answers 20 getResponse of four pictures each while connected, each in one message', async () => {
    const taskUUID = await draw(4, 1);
    const client = await connect();
    client.socket.send(polls(taskUUID, 20));
    await expect.poll(() => client.messages.length).toBe(20);
    for (const text of client.messages) {
      expect(JSON.parse(text).data.map(({ seed }: { seed: number }) => seed)).toEqual([1, 2, 3, 4]);
    }
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('reads no picture for a client that does not read, and answers others meanwhile', async () => {
    const taskUUID = await draw(1);
    const silent = await connect();
    silent.socket.pause();
    silent.socket.send(polls(taskUUID, 100));
    await sleep(500);
    const first = reads;
    await sleep(300);
    expect(reads).toBe(first);
    expect(first).toBeLessThan(20);
    const other = await connect();
    other.socket.send(JSON.stringify([{ taskType: 'ping', ping: true }]));
    await expect.poll(() => other.messages.length).toBe(1);
    silent.socket.resume();
    await expect.poll(() => silent.messages.length).toBe(100);
  });

  /** Bytes that are held after a collection of garbage. */
  function measureMemory(): number {
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }

  /**
   * Reads slowly. `ahead` is how many pictures the server had read and not delivered at most, `held` the memory that was
   * in use beyond that of the start; of a message only its seeds are kept.
   */
  async function readSlowly(socket: WebSocket, count: number) {
    const seeds: number[] = [];
    let ahead = 0;
    let held = 0;
    const start = measureMemory();
    socket.removeAllListeners('message');
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = reads;
    socket.on('message', (data) => {
      const { data: items } = JSON.parse(String(data)) as { data: { seed: number }[] };
      seeds.push(...items.map(({ seed }) => seed));
      ahead = Math.max(ahead, reads - before - seeds.length);
      socket.pause();
      if (seeds.length % 20 === 0) held = Math.max(held, measureMemory() - start);
      setTimeout(() => socket.resume(), 5);
      if (seeds.length === count) resolve();
    });
    socket.resume();
    await promise;
    return { seeds, ahead, held };
  }

  it('answers 100 getResponse, 400 MB, and holds few of the pictures at once', async () => {
    const taskUUID = await draw(1, 7);
    const client = await connect();
    reads = 0;
    client.socket.send(polls(taskUUID, 100));
    const { seeds, ahead, held } = await readSlowly(client.socket, 100);
    expect(seeds).toEqual(Array(100).fill(7));
    expect(ahead).toBeLessThanOrEqual(4);
    expect(held).toBeLessThan(100e6);
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  }, 120_000);

  it('delivers 200 MB to a client that comes back and reads slowly, and holds few pictures at once', async () => {
    const client = await drawForNobody();
    reads = 0;
    const again = await connect(client.session);
    const early = seedsOf(again);
    const { seeds, ahead, held } = await readSlowly(again.socket, 60 - early.length);
    expect([...early, ...seeds]).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
    expect(ahead).toBeLessThanOrEqual(4);
    expect(held).toBeLessThan(100e6);
    expect(again.socket.readyState).toBe(WebSocket.OPEN);
  }, 120_000);

  it('is answered pong between the pictures of a long delivery', async () => {
    const taskUUID = await draw(1);
    const client = await connect();
    client.socket.send(polls(taskUUID, 60));
    client.socket.send(JSON.stringify([{ taskType: 'ping', ping: true }]));
    await expect.poll(() => client.messages.length).toBe(61);
    const at = client.messages.findIndex((text) => text.includes('pong'));
    expect(JSON.parse(client.messages[at]!)).toEqual({ data: [{ taskType: 'ping', pong: true }] });
    expect(at).toBeLessThan(60);
  });
});

describe('the text of an item', () => {
  const item = (fields: object) =>
    ({
      taskType: 'imageInference',
      taskUUID: randomUUID(),
      imageUUID: randomUUID(),
      seed: 2n ** 63n - 1n,
      ...fields,
    }) as Item;

  it.each([
    ['an image in base64', { imageBase64Data: 'iVBORw0KGgo=' }],
    ['a data URI', { imageDataURI: 'data:image/png;base64,iVBORw0KGgo=' }],
    ['a URL', { imageURL: 'http://x/images/1.png' }],
    ['an image whose text is that of the mark', { imageBase64Data: 'image' }],
    [
      'a message that looks like the place of the image',
      { uploadError: { code: 'image', message: '"imageBase64Data":"image"' }, imageBase64Data: 'iVBO' },
    ],
    ['an empty image', { imageBase64Data: '' }],
  ])('with %s is that of JSON.stringify', (_, fields) => {
    const whole = item(fields);
    expect(textOf(whole)).toBe(stringifyJson(whole));
  });
});
