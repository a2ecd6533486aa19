/** Resources that unauthenticated clients can hold: bytes of bodies, and connections. */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Bench, createBench, task } from './fixture.ts';

let bench: Bench;
let port: number;
const sockets: { destroy(): void }[] = [];

async function start(flags: Record<string, string>): Promise<void> {
  bench = await createBench(flags);
  port = Number(new URL(await bench.server.listen({ port: 0, host: '127.0.0.1' })).port);
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await bench.close();
});

type Raw = { socket: Socket; text: () => string; closed: Promise<unknown> };

function open(): Raw {
  const socket = createConnection({ port, host: '127.0.0.1' });
  sockets.push(socket);
  let text = '';
  socket.on('data', (chunk) => (text += chunk));
  socket.on('error', () => {});
  return { socket, text: () => text, closed: once(socket, 'close') };
}

const head = (length: number, key?: string) =>
  `POST /v1 HTTP/1.1\r\nHost: x\r\n${key ? `Authorization: Bearer ${key}\r\n` : ''}Content-Length: ${length}\r\n\r\n`;
const ping = { taskType: 'ping', ping: true };
const health = () => fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(5_000) });

async function postPing(key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}` };
  const body = JSON.stringify([ping]);
  return (await fetch(`http://127.0.0.1:${port}/v1`, { method: 'POST', body, headers })).status;
}

async function connect(): Promise<WebSocket & { texts: string[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1`);
  sockets.push({ destroy: () => socket.terminate() });
  const texts: string[] = [];
  socket.on('message', (data) => texts.push(String(data)));
  socket.on('error', () => {});
  await once(socket, 'open');
  return Object.assign(socket, { texts });
}

describe('a body without a key in its header', () => {
  it('is taken up to its limit and refused beyond it, as soon as its length is known', async () => {
    await start({ 'api-keys': 'right', 'unauthenticated-body-limit': '10KB' });
    const tasks = (padding: number) =>
      JSON.stringify([{ taskType: 'authentication', apiKey: 'right' }, ping]).padEnd(padding);
    expect((await bench.post(tasks(9_000))).body.data).toHaveLength(1);
    const large = open();
    large.socket.write(head(60_000_000));
    await expect.poll(large.text).toContain('413');
    expect(large.text()).toContain('10240 bytes, the limit until the key is known');
    const chunked = open();
    chunked.socket.write('POST /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < 20; i++) chunked.socket.write(`400\r\n${' '.repeat(1024)}\r\n`);
    chunked.socket.write('0\r\n\r\n');
    await expect.poll(chunked.text).toContain('413');
    expect((await bench.post(tasks(50_000), { authorization: 'Bearer right' })).status).toBe(200);
  });

  it('takes no room from those with a key, however many there are', async () => {
    await start({
      'api-keys': 'right',
      'body-limit': '1MB',
      'bodies-limit': '1MB',
      'unauthenticated-body-limit': '100KB',
    });
    const strangers = Array.from({ length: 5 }, open);
    for (const { socket } of strangers) socket.write(head(90_000) + ' '.repeat(89_000));
    const texts = () => strangers.map(({ text }) => text()).filter((text) => text !== '');
    // An eighth of the limit for all bodies is 131072 bytes.
    await expect.poll(texts).toHaveLength(4);
    for (const text of texts())
      expect(text).toMatch(/^HTTP\/1.1 503[\s\S]*serverUnavailable[\s\S]*131072 bytes/);
    expect(await postPing('right')).toBe(200);
    for (const { socket } of strangers) socket.destroy();
    // Their bytes are free again.
    const post = () =>
      bench.post([
        { taskType: 'authentication', apiKey: 'right' },
        { ...ping, taskUUID: randomUUID() },
      ]);
    await expect.poll(async () => (await post()).status).toBe(200);
  });
});

describe('the bodies of all requests together', () => {
  it('are held until their tasks are answered, and refused beyond the limit', async () => {
    await start({ 'body-limit': '1MB', 'bodies-limit': '1MB' });
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const large = () => JSON.stringify([{ ...task, taskUUID: randomUUID() }]).padEnd(600_000);
    const post = () => fetch(`http://127.0.0.1:${port}/v1`, { method: 'POST', body: large() });
    const first = post();
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    const second = await post();
    expect(second.status).toBe(503);
    expect(second.headers.get('retry-after')).toMatch(/^\d+$/);
    gate.resolve();
    expect((await first).status).toBe(200);
    expect((await post()).status).toBe(200);
  });
});

describe('a WebSocket without a key', () => {
  it('may send no more than a little, in whatever fragments, and is told so', async () => {
    await start({ 'api-keys': 'right', 'unauthenticated-body-limit': '10KB' });
    const socket = await connect();
    const closed = once(socket, 'close');
    for (let i = 0; i < 30; i++) socket.send(' '.repeat(1_000), { fin: false });
    await closed;
    expect(JSON.parse(socket.texts[0]!)).toMatchObject({ error: { code: 'valueTooLarge' } });
  });

  it('may send large messages once its key is known', async () => {
    await start({ 'api-keys': 'right', 'unauthenticated-body-limit': '10KB' });
    const socket = await connect();
    socket.send(JSON.stringify([{ taskType: 'authentication', apiKey: 'right' }]));
    await expect.poll(() => socket.texts.length).toBe(1);
    for (let i = 0; i < 5; i++) socket.send(JSON.stringify([ping]).padEnd(1_000_000));
    await expect.poll(() => socket.texts.length).toBe(6);
  });
});

describe('a server with as many connections as it takes', () => {
  const flags = { 'api-keys': 'right', 'connection-limit': '20' };

  it('answers /health and those with a key, in the place of those that send nothing', async () => {
    await start(flags);
    const silent = Array.from({ length: 40 }, open);
    await expect.poll(() => silent.filter(({ socket }) => socket.closed).length).toBeGreaterThanOrEqual(20);
    for (let i = 0; i < 30; i++) expect((await health()).status).toBe(200);
    expect(await postPing('right')).toBe(200);
  });

  it('gives up no request of a client with a key', async () => {
    await start(flags);
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const waiting = fetch(`http://127.0.0.1:${port}/v1`, {
      method: 'POST',
      headers: { authorization: 'Bearer right' },
      body: JSON.stringify([task]),
    });
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    const silent = Array.from({ length: 60 }, open);
    await expect.poll(() => silent.filter(({ socket }) => socket.closed).length).toBeGreaterThanOrEqual(40);
    gate.resolve();
    expect((await waiting).status).toBe(200);
  });

  it('keeps places for /health when clients with a key would take them all', async () => {
    await start(flags);
    const clients = await Promise.all(Array.from({ length: 20 }, connect));
    for (const client of clients)
      client.send(JSON.stringify([{ taskType: 'authentication', apiKey: 'right' }]));
    await expect.poll(() => clients.every(({ texts }) => texts.length > 0)).toBe(true);
    const refused = clients.filter(({ texts }) => texts[0]!.includes('serverUnavailable'));
    // Four fifths may be kept.
    expect(refused).toHaveLength(4);
    for (const client of refused) {
      if (client.readyState !== WebSocket.CLOSED) await once(client, 'close');
    }
    for (let i = 0; i < 10; i++) expect((await health()).status).toBe(200);
    await sleep(50);
    expect(clients.filter(({ readyState }) => readyState === WebSocket.OPEN)).toHaveLength(16);
  });
});
