import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { RetouchError } from '../../src/error.ts';
import { Database } from '../../src/store/db.ts';
import { type Bench, openBench, task, taskUUID } from './fixture.ts';

type Received = {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: Buffer;
};

/** Records all requests; `answers` are the statuses of the next answers, 200 when the list is empty. */
class Receiver {
  readonly received: Received[] = [];
  readonly answers: (number | ((response: ServerResponse) => void))[] = [];
  readonly #server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = '', url = '', headers } = request;
    this.received.push({ method, path: url, headers, body: Buffer.concat(chunks) });
    const answer = this.answers.shift() ?? 200;
    if (typeof answer === 'function') answer(response);
    else response.writeHead(answer).end();
  });

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  url(path = '/hook?token=secret'): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  get bodies(): unknown[] {
    return this.received.map(({ body }) => JSON.parse(body.toString()));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let folder: string;
let receiver: Receiver;
let bench: Bench;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-webhooks-'));
  receiver = new Receiver();
  await receiver.listen();
  bench = await openBench(folder, { 'allow-private-network': '127.0.0.1,localhost' });
});

afterEach(async () => {
  await bench.close();
  receiver.close();
  await rm(folder, { recursive: true });
});

async function reopen(flags: Record<string, string> = {}): Promise<void> {
  await bench.close();
  bench = await openBench(folder, { 'allow-private-network': '127.0.0.1,localhost', ...flags });
}

async function poll(): Promise<{ data: Record<string, unknown>[]; errors?: Record<string, unknown>[] }> {
  return (await bench.post([{ taskType: 'getResponse', taskUUID }])).body;
}

describe('a task with a webhook', () => {
  it('is acknowledged at once, and each of its images is sent as it is made', async () => {
    const { status, body } = await bench.post(
      [{ ...task, seed: 1, numberResults: 2, webhookURL: receiver.url() }],
      { host: 'edit.example' },
    );
    expect([status, body]).toEqual([200, { data: [{ taskType: 'imageInference', taskUUID }] }]);
    await expect.poll(() => receiver.received.length).toBe(2);
    const { data } = await poll();
    const sent = data.map(({ status: _, ...item }) => ({
      data: [{ ...item, imageURL: `http://edit.example/images/${item.imageUUID}.jpg` }],
    }));
    expect(receiver.bodies).toEqual(expect.arrayContaining(sent));
    expect(receiver.received[0]).toMatchObject({ method: 'POST', path: '/hook?token=secret' });
    expect(receiver.received[0]!.headers).toMatchObject({ 'content-type': 'application/json' });
    expect(receiver.received[0]!.headers).not.toHaveProperty('x-retouch-signature');
  });

  it('over a WebSocket, with sync delivery, pushes each image without an acknowledgement and sends it as well', async () => {
    const address = await bench.server.listen({ port: 0, host: '127.0.0.1' });
    const socket = new WebSocket(`${address.replace('http', 'ws')}/v1`);
    const frames: { data: Record<string, unknown>[] }[] = [];
    socket.on('message', (data) => frames.push(JSON.parse(String(data))));
    await once(socket, 'open');
    const asked = { ...task, numberResults: 2, webhookURL: receiver.url() };
    socket.send(
      JSON.stringify([
        { taskType: 'authentication', apiKey: 'k' },
        { ...asked, deliveryMethod: 'sync' },
      ]),
    );
    await expect.poll(() => frames.length).toBe(3);
    const images = frames.slice(1).flatMap(({ data }) => data);
    for (const item of images) expect(item).toMatchObject({ taskUUID, imageURL: expect.any(String) });
    await expect.poll(() => receiver.bodies.length).toBe(2);
    expect(receiver.bodies).toEqual(expect.arrayContaining(images.map((item) => ({ data: [item] }))));
    const other = randomUUID();
    socket.send(JSON.stringify([{ ...asked, taskUUID: other, deliveryMethod: 'async' }]));
    await expect
      .poll(() => frames.slice(3))
      .toEqual([{ data: [{ taskType: 'imageInference', taskUUID: other }] }]);
    socket.terminate();
  });

  it('that fails sends its errors', async () => {
    bench.engine.script = () => Promise.reject(new RetouchError('modelFileMissing', 'It is gone.'));
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect
      .poll(() => receiver.bodies)
      .toMatchObject([{ errors: [{ code: 'modelFileMissing', message: 'It is gone.', taskUUID }] }]);
    expect(receiver.bodies[0]).not.toHaveProperty('data');
  });

  it('sends the item alone when the server is set to', async () => {
    await reopen({ 'webhook-body': 'flat' });
    await bench.post([{ ...task, seed: 1, webhookURL: receiver.url() }]);
    await expect
      .poll(() => receiver.bodies)
      .toMatchObject([{ taskType: 'imageInference', taskUUID, seed: 1 }]);
  });

  it('is signed over time and body under the secret', async () => {
    await reopen({ 'webhook-secret': 'open sesame' });
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => receiver.received.length).toBe(1);
    const { headers, body } = receiver.received[0]!;
    const timestamp = String(headers['x-retouch-timestamp']);
    const expected = createHmac('sha256', 'open sesame').update(`${timestamp}.${body}`).digest('hex');
    expect(headers['x-retouch-signature']).toBe(`sha256=${expected}`);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('is sent again, under the same id, until it is received', async () => {
    receiver.answers.push(500, (response) => response.destroy(), 429);
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(4);
    const ids = receiver.received.map(({ headers }) => headers['x-retouch-delivery']);
    expect(new Set(ids).size).toBe(1);
    expect(receiver.bodies[3]).toEqual(receiver.bodies[0]);
  });

  it('is given up after so many tries, and the result is there to be polled for', async () => {
    await reopen({ 'delivery-attempts': '2' });
    receiver.answers.push(500, 500);
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => bench.logged.join(), { timeout: 20_000 }).toContain('A webhook was given up.');
    expect(receiver.received).toHaveLength(2);
    expect((await poll()).data).toMatchObject([{ status: 'success' }]);
    await reopen();
    expect(receiver.received).toHaveLength(2);
  });

  it('is sent after a new start when it could not be before', async () => {
    receiver.answers.push(...Array(20).fill(503));
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => receiver.received.length).toBe(1);
    receiver.answers.length = 0;
    await reopen();
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(2);
    expect(receiver.bodies[1]).toEqual(receiver.bodies[0]);
  });

  it('holds up no other one while its receiver hangs', async () => {
    const hanging: ServerResponse[] = [];
    receiver.answers.push((response) => hanging.push(response));
    await bench.post([{ ...task, webhookURL: receiver.url('/hangs') }]);
    await expect.poll(() => hanging.length).toBe(1);
    await bench.post([{ ...task, taskUUID: randomUUID(), webhookURL: receiver.url('/other') }]);
    await expect.poll(() => receiver.received.map(({ path }) => path)).toEqual(['/hangs', '/other']);
  });

  it('says nothing of the token in its URL to the log', async () => {
    receiver.answers.push(500);
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(2);
    expect(bench.logged.join()).not.toContain('token=secret');
  });
});

describe('a receiver that refuses', () => {
  it.each([400, 401, 403, 404, 410, 422])('with %d is not asked again', async (status) => {
    receiver.answers.push(status);
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => bench.logged.join()).toContain('A webhook was given up.');
    expect(receiver.received).toHaveLength(1);
  });

  it('an upload is not waited for by the client of a sync task', async () => {
    receiver.answers.push(403);
    const { body } = await bench.post([{ ...task, uploadEndpoint: receiver.url('/put') }]);
    expect(body.data).toMatchObject([{ uploadError: { code: 'statusRefused' } }]);
    expect(receiver.received).toHaveLength(1);
  });

  it.each([429, 503])('with %d and Retry-After is asked again after that time', async (status) => {
    receiver.answers.push((response) => response.writeHead(status, { 'retry-after': '0' }).end());
    receiver.answers.push((response) => response.writeHead(status, { 'retry-after': '3600' }).end());
    await bench.post([{ ...task, webhookURL: receiver.url() }]);
    await expect.poll(() => receiver.received.length).toBe(2);
    await reopen();
    const db = Database.open(join(folder, 'retouch.db'));
    const { wait } = db.get<{ wait: number }>('SELECT due - now AS wait FROM deliveries, clock')!;
    db.close();
    expect(wait).toBeGreaterThan(3_500_000);
    expect(wait).toBeLessThanOrEqual(3_600_000);
  });

  it('with an error of ours tells the client neither stack nor path', async () => {
    await reopen({ 'delivery-attempts': '1' });
    vi.spyOn(bench.assets, 'get').mockRejectedValueOnce(new TypeError(`no such thing at ${folder}`));
    const { body } = await bench.post([{ ...task, uploadEndpoint: receiver.url('/put') }]);
    const { uploadError } = body.data[0]!;
    expect(JSON.stringify(uploadError)).not.toMatch(/src\/|node:|\/tmp|at /);
    expect(bench.logged.join()).toContain('no such thing');
  });
});

describe('a receiver that never answers', () => {
  it('delays no delivery to another host, however many wait for it', async () => {
    const path = await bench.post([{ ...task }]);
    expect(path.status).toBe(200);
    const silent = () => {};
    receiver.answers.push(...Array(8).fill(silent));
    for (let count = 0; count < 40; count++) {
      const webhookURL = receiver.url(`/silent/${count}`);
      await bench.post([{ ...task, taskUUID: randomUUID(), webhookURL }]);
    }
    await expect.poll(() => receiver.received.length).toBe(8);
    const other = receiver.url('/other').replace('127.0.0.1', 'localhost');
    await bench.post([{ ...task, taskUUID: randomUUID(), webhookURL: other }]);
    await expect.poll(() => receiver.received.map(({ path }) => path)).toContain('/other');
    expect(receiver.received).toHaveLength(9);
  });
});

describe('a receiver inside the network', () => {
  it.each([
    ['webhookURL', 'invalidWebhookURL'],
    ['uploadEndpoint', 'invalidUploadEndpoint'],
  ])('is refused as %s, at once', async (parameter, code) => {
    await reopen({ 'allow-private-network': '0' });
    const { status, body } = await bench.post([{ ...task, [parameter]: receiver.url() }]);
    expect([status, body.error?.code, body.error?.parameter]).toEqual([400, code, parameter]);
    expect(bench.engine.plans).toEqual([]);
  });

  it('is not reached by a redirect either, and redirects that keep the body are followed', async () => {
    const redirect = (location: string, status: number) => (response: ServerResponse) =>
      void response.writeHead(status, { location }).end();
    receiver.answers.push(redirect('http://127.0.0.2:1/inside', 307), redirect('/elsewhere', 308));
    await bench.post([{ ...task, webhookURL: receiver.url('/first') }]);
    // Refused for good: not tried again.
    await expect.poll(() => bench.logged.join()).toContain('addressRefused');
    await bench.post([{ ...task, taskUUID: randomUUID(), webhookURL: receiver.url('/second') }]);
    await expect
      .poll(() => receiver.received.map(({ method, path }) => `${method} ${path}`))
      .toEqual(['POST /first', 'POST /second', 'POST /elsewhere']);
    expect(receiver.bodies[2]).toEqual(receiver.bodies[1]);
  });

  it('is not asked by GET where a redirect would make a GET of it', async () => {
    receiver.answers.push((response) => void response.writeHead(302, { location: '/get' }).end());
    await bench.post([{ ...task, webhookURL: receiver.url('/first') }]);
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(2);
    expect(receiver.received.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /first',
      'POST /first',
    ]);
  });
});

describe('a task with an uploadEndpoint', () => {
  it.each([
    ['JPG', 'image/jpeg'],
    ['PNG', 'image/png'],
    ['WEBP', 'image/webp'],
  ])('sends the bytes of a %s as %s and then answers', async (outputFormat, type) => {
    const { body } = await bench.post([
      { ...task, seed: 1, outputFormat, uploadEndpoint: receiver.url('/put?signature=x') },
    ]);
    expect(body.data).toMatchObject([{ seed: 1, imageURL: expect.any(String) }]);
    expect(body.data[0]).not.toHaveProperty('uploadError');
    expect(receiver.received).toMatchObject([{ method: 'PUT', path: '/put?signature=x' }]);
    expect(receiver.received[0]!.headers).toMatchObject({
      'content-type': type,
      'content-length': '6',
      // Azure's Put Blob answers 400 without it.
      'x-ms-blob-type': 'BlockBlob',
    });
    expect(receiver.received[0]!.body.toString()).toBe('seed 1');
  });

  it('tries again, and the image is processing until it has arrived', async () => {
    const gate = Promise.withResolvers<void>();
    receiver.answers.push(503, (response) => void gate.promise.then(() => response.end()));
    await bench.post([{ ...task, deliveryMethod: 'async', uploadEndpoint: receiver.url() }]);
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(2);
    expect((await poll()).data).toMatchObject([{ status: 'processing', progress: 100 }]);
    gate.resolve();
    await expect.poll(async () => (await poll()).data).toMatchObject([{ status: 'success' }]);
  });

  it('loses no image when it fails: the result has the image and why', async () => {
    await reopen({ 'delivery-attempts': '1' });
    receiver.answers.push(403);
    const { status, body } = await bench.post([{ ...task, uploadEndpoint: receiver.url() }]);
    expect(status).toBe(200);
    expect(body.data).toMatchObject([
      {
        imageURL: expect.any(String),
        uploadError: { code: 'statusRefused', message: expect.stringContaining('403') },
      },
    ]);
    const image = await bench.server.inject(new URL(String(body.data[0]?.imageURL)).pathname);
    expect(image.statusCode).toBe(200);
  });

  it('is uploaded after a new start, made once, and its webhook comes after it', async () => {
    receiver.answers.push(...Array(20).fill(503));
    const uploadEndpoint = receiver.url('/put');
    await bench.post([{ ...task, uploadEndpoint, webhookURL: receiver.url('/hook') }]);
    await expect.poll(() => receiver.received.length).toBe(1);
    receiver.answers.length = 0;
    await reopen();
    const seen = () => receiver.received.map(({ path }) => path);
    await expect.poll(seen, { timeout: 20_000 }).toEqual(['/put', '/put', '/hook']);
    expect(bench.engine.plans).toEqual([]);
  });

  it('is not taken back by cancelling while it is being uploaded', async () => {
    const gate = Promise.withResolvers<void>();
    receiver.answers.push((response) => void gate.promise.then(() => response.end()));
    await bench.post([{ ...task, deliveryMethod: 'async', uploadEndpoint: receiver.url() }]);
    await expect.poll(() => receiver.received.length).toBe(1);
    const { body } = await bench.post([{ taskType: 'cancelTask', taskUUID }]);
    expect(body.data).toMatchObject([{ cancelledResults: 0 }]);
    gate.resolve();
    await expect.poll(async () => (await poll()).data).toMatchObject([{ status: 'success' }]);
  });
});
