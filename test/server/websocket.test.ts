import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { Plan } from '../../src/engine/plan.ts';
import type { ConnectionTimes } from '../../src/server/connection.ts';
import { type Answer, type Bench, createBench, task } from './fixture.ts';

type Frame = Partial<Answer>;

/** A client that records its messages. */
class Client {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #news = Promise.withResolvers<void>();

  constructor(url: string, options: WebSocket.ClientOptions = {}) {
    this.socket = new WebSocket(url, options);
    this.closed = once(this.socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
    this.socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)));
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    });
    this.socket.on('error', () => {});
  }

  send(...tasks: unknown[]): void {
    this.socket.send(JSON.stringify(tasks));
  }

  /** The first frame from number `index` on. */
  async frame(index: number): Promise<Frame> {
    while (this.frames.length <= index) await this.#news.promise;
    return this.frames[index]!;
  }

  async authenticate(fields: object = {}): Promise<string> {
    const at = this.frames.length;
    this.send({ taskType: 'authentication', apiKey: 'k', ...fields });
    const { data } = await this.frame(at);
    return data![0]!.connectionSessionUUID as string;
  }
}

let bench: Bench;
let url: string;
const clients: Client[] = [];

async function start(flags: Record<string, string> = {}, times?: ConnectionTimes): Promise<void> {
  bench = await createBench(flags, times && { times });
  const address = await bench.server.listen({ port: 0, host: '127.0.0.1' });
  url = `${address.replace('http', 'ws')}/v1`;
}

async function connect(options?: WebSocket.ClientOptions): Promise<Client> {
  const client = new Client(url, options);
  clients.push(client);
  await once(client.socket, 'open');
  return client;
}

async function enter(fields?: object): Promise<Client> {
  const client = await connect();
  await client.authenticate(fields);
  client.frames.length = 0;
  return client;
}

const inference = (fields: object = {}) => ({ ...task, taskUUID: randomUUID(), ...fields });

beforeEach(() => start());

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate();
  await bench.close();
});

describe('a connection', () => {
  it('is answered with its session first, alone in the first frame', async () => {
    const client = await connect();
    client.send({ taskType: 'authentication', apiKey: 'k' });
    expect(await client.frame(0)).toEqual({
      data: [{ taskType: 'authentication', connectionSessionUUID: expect.stringMatching(/^[0-9a-f-]{36}$/) }],
    });
  });

  it('is answered pong at once and alone, without a taskUUID of its own', async () => {
    const client = await enter();
    bench.engine.script = () => sleep(50);
    client.send(inference());
    client.send({ taskType: 'ping', ping: true });
    expect(await client.frame(0)).toEqual({ data: [{ taskType: 'ping', pong: true }] });
    expect((await client.frame(1)).data?.[0]).toMatchObject({ taskType: 'imageInference' });
  });

  it('is sent each image in a frame of its own, as soon as it is done', async () => {
    const client = await enter();
    const gate = Promise.withResolvers<void>();
    bench.engine.script = async (plan: Plan) => {
      if (plan.seed === 8n) await gate.promise;
    };
    const asked = inference({ numberResults: 2, seed: 7 });
    client.send(asked);
    const first = await client.frame(0);
    expect(first.data).toMatchObject([{ taskUUID: asked.taskUUID, seed: 7 }]);
    expect(client.frames).toHaveLength(1);
    gate.resolve();
    expect((await client.frame(1)).data).toMatchObject([{ taskUUID: asked.taskUUID, seed: 8 }]);
  });

  it('has data or errors in a frame, never both, and every error says whose it is', async () => {
    const client = await enter();
    const [good, bad, worse] = [inference(), inference({ steps: 0 }), inference({ seed: -1 })];
    client.send(bad, good, worse);
    await client.frame(2);
    for (const frame of client.frames) expect(Object.keys(frame)).not.toHaveLength(0);
    for (const frame of client.frames) expect('data' in frame).toBe(!('errors' in frame));
    const errors = client.frames.filter((frame) => frame.errors);
    expect(errors.map(({ errors }) => errors!.map(({ taskUUID }) => taskUUID))).toEqual([
      [bad.taskUUID],
      [worse.taskUUID],
    ]);
    for (const { error, errors: list } of errors) expect(error).toEqual(list![0]);
  });

  it('takes a frame that is no JSON for an error and goes on', async () => {
    const client = await enter();
    client.socket.send('[{');
    expect((await client.frame(0)).errors).toMatchObject([{ code: 'invalidBody' }]);
    client.send({ taskType: 'ping', ping: true });
    expect((await client.frame(1)).data).toEqual([{ taskType: 'ping', pong: true }]);
  });

  it('answers protocol pings', async () => {
    const client = await enter();
    client.socket.ping('abc');
    const [data] = await once(client.socket, 'pong');
    expect(String(data)).toBe('abc');
  });

  it('larger than the limit of a body is closed with 1009', async () => {
    await bench.close();
    await start({ 'body-limit': '10KB' });
    const client = await enter();
    client.send(inference({ positivePrompt: 'x'.repeat(20_000) }));
    expect(await client.closed).toMatchObject({ code: 1009 });
  });

  it.each([
    ['not masked', [0x81, 0x01, 0x78], 1002],
    ['of an unknown kind', [0x83, 0x80, 0, 0, 0, 0], 1002],
    ['no UTF-8', [0x81, 0x81, 0, 0, 0, 0, 0xff], 1007],
  ])(
    'that is %s is closed with the code of the protocol, and is no error of the server',
    async (_, bytes, code) => {
      const client = await enter();
      const raw = (client.socket as unknown as { _socket: Socket })._socket;
      raw.write(Buffer.from(bytes));
      expect(await client.closed).toMatchObject({ code });
      expect(bench.logged.filter((line) => line.includes('"error"'))).toEqual([]);
    },
  );

  it('is refused when a page of another site asks', async () => {
    const client = new Client(url, { origin: 'https://evil.example' });
    const [, response] = await once(client.socket, 'unexpected-response');
    expect(response.statusCode).toBe(403);
  });

  it('is closed with 1001 when the server ends, after what is under way was answered', async () => {
    const client = await enter();
    bench.engine.script = () => sleep(100);
    client.send(inference());
    await sleep(30);
    await bench.server.close();
    expect(await client.closed).toMatchObject({ code: 1001 });
    expect(client.frames).toMatchObject([{ data: [{ taskType: 'imageInference' }] }]);
  });
});

describe('with API keys', () => {
  beforeEach(async () => {
    await bench.close();
    await start({ 'api-keys': 'right,other' });
  });

  it('a wrong key is one error without a taskUUID, in both forms, and the third closes the connection', async () => {
    const client = await connect();
    client.send({ taskType: 'authentication', apiKey: 'wrong' });
    const frame = await client.frame(0);
    expect(frame.errors).toMatchObject([
      { code: 'invalidApiKey', parameter: 'apiKey', type: 'string', taskType: 'authentication' },
    ]);
    expect(frame.errors![0]).not.toHaveProperty('taskUUID');
    expect(frame.error).toEqual(frame.errors![0]);
    // Not closed at once: a client that reconnects would not look at the error.
    client.send({ taskType: 'authentication', apiKey: 'wronger' });
    client.send({ taskType: 'authentication', apiKey: 'wrongest' });
    expect(await client.closed).toMatchObject({ code: 1008 });
    expect(client.frames).toHaveLength(3);
  });

  it('nothing is done for a client that names no key', async () => {
    const client = await connect();
    client.send(inference());
    expect((await client.frame(0)).errors).toMatchObject([{ code: 'missingApiKey' }]);
    expect(bench.engine.plans).toEqual([]);
  });

  it('a session of another key is not resumed', async () => {
    const first = await connect();
    const session = await first.authenticate({ apiKey: 'right' });
    first.socket.terminate();
    const second = await connect();
    expect(await second.authenticate({ apiKey: 'other', connectionSessionUUID: session })).not.toBe(session);
  });
});

describe('an open connection whose key is revoked', () => {
  const times = { idle: 60_000, authentication: 60_000, heartbeat: 60_000, keyCheck: 60_000 };
  const enterWithKey = async () => {
    const client = await connect();
    await client.authenticate({ apiKey: bench.keys.add('laptop').key });
    client.frames.length = 0;
    return client;
  };

  it('does nothing that its next frame asks for, says why and is closed', async () => {
    await bench.close();
    await start({ 'api-keys': 'other' }, times);
    const client = await enterWithKey();
    client.send(inference());
    await client.frame(0);
    bench.keys.revoke('laptop');
    client.send(inference());
    expect(await client.closed).toMatchObject({ code: 1008 });
    expect(client.frames.slice(1)).toMatchObject([{ errors: [{ code: 'invalidApiKey' }] }]);
    expect(client.frames[1]!.errors![0]).not.toHaveProperty('taskUUID');
    expect(bench.engine.plans).toHaveLength(1);
  });

  it('is closed when it only listens, and so is one without a key once there are keys', async () => {
    await bench.close();
    await start({}, { ...times, keyCheck: 30 });
    const stranger = await enter();
    const client = await enterWithKey();
    expect(await stranger.closed).toMatchObject({ code: 1008 });
    expect(stranger.frames).toMatchObject([{ errors: [{ code: 'missingApiKey' }] }]);
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
    bench.keys.add('phone');
    bench.keys.revoke('laptop');
    expect(await client.closed).toMatchObject({ code: 1008 });
  });

  it('goes on with a key that is taken', async () => {
    await bench.close();
    await start({ 'api-keys': 'other' }, times);
    const client = await enterWithKey();
    bench.keys.revoke('laptop');
    await client.authenticate({ apiKey: 'other' });
    client.send(inference());
    expect((await client.frame(1)).data).toMatchObject([{ taskType: 'imageInference' }]);
  });
});

describe('a client that comes back', () => {
  it('gets its session and what was finished meanwhile, once', async () => {
    const client = await connect();
    const session = await client.authenticate();
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const asked = inference({ numberResults: 2, seed: 1 });
    client.send(asked);
    await sleep(30);
    client.socket.terminate();
    gate.resolve();
    await sleep(50);
    const again = await connect();
    expect(await again.authenticate({ connectionSessionUUID: session })).toBe(session);
    await again.frame(2);
    expect(again.frames.slice(1).map(({ data }) => data![0]!.seed)).toEqual([1, 2]);
    await sleep(30);
    again.socket.terminate();
    const third = await connect();
    await third.authenticate({ connectionSessionUUID: session });
    await sleep(50);
    expect(third.frames).toHaveLength(1);
  });

  it('is told again what was sent into a dead connection', async () => {
    // Answers no ping, as a machine that lost its network.
    const client = await connect({ autoPong: false });
    const session = await client.authenticate();
    client.send(inference({ seed: 5 }));
    await client.frame(1);
    const again = await connect();
    expect(await again.authenticate({ connectionSessionUUID: session })).toBe(session);
    expect((await again.frame(1)).data).toMatchObject([{ seed: 5 }]);
    // Two connections of one session would race for its results.
    await client.closed;
  });

  it('with a session that nobody knows gets a new one', async () => {
    const client = await connect();
    const unknown = randomUUID();
    const session = await client.authenticate({ connectionSessionUUID: unknown });
    expect(session).toMatch(/^[0-9a-f-]{36}$/);
    expect(session).not.toBe(unknown);
  });
});

describe('a silent connection', () => {
  const restart = async (times: Partial<ConnectionTimes>) => {
    await bench.close();
    await start({}, { idle: 60_000, authentication: 60_000, heartbeat: 60_000, keyCheck: 60_000, ...times });
  };

  it('is closed when no message comes for the idle time, pings of the protocol counting as messages', async () => {
    await restart({ idle: 1500 });
    const client = await enter();
    for (let i = 0; i < 8; i++) {
      await sleep(250);
      client.socket.ping();
    }
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
    expect(await client.closed).toMatchObject({ code: 1000 });
  });

  it('is closed when no key comes', async () => {
    await restart({ authentication: 50 });
    const client = await connect();
    expect(await client.closed).toMatchObject({ code: 1008 });
  });

  it('is given up when the machine behind it is gone', async () => {
    await restart({ heartbeat: 50 });
    const gone = await connect({ autoPong: false });
    const there = await connect();
    expect(await gone.closed).toMatchObject({ code: 1006 });
    await sleep(200);
    expect(there.socket.readyState).toBe(WebSocket.OPEN);
  });
});
