/** Raw HTTP that no client library sends, written byte by byte. */

import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, createBench, task, taskUUID } from './fixture.ts';

let bench: Bench;
let port: number;

async function start(flags: Record<string, string> = {}): Promise<void> {
  bench = await createBench(flags);
  port = Number(new URL(await bench.server.listen({ port: 0, host: '127.0.0.1' })).port);
}

async function restart(flags: Record<string, string>): Promise<void> {
  await bench.close();
  await start(flags);
}

beforeEach(() => start());
afterEach(() => bench.close());

const connections = () =>
  new Promise<number>((resolve, reject) =>
    bench.server.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );

type Exchange = { text: string; isClosed: boolean };

/** The server's answer, until it closes the connection or `patience` milliseconds pass after the last bytes. */
async function exchange(request: string | Buffer, patience = 300): Promise<Exchange> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  let text = '';
  let isClosed = false;
  let last = performance.now();
  socket.on('data', (chunk) => {
    text += chunk;
    last = performance.now();
  });
  socket.on('error', () => {});
  socket.on('close', () => (isClosed = true));
  socket.on('end', () => (isClosed = true));
  socket.write(request);
  while (!isClosed && (text === '' || performance.now() - last < patience)) await sleep(10);
  socket.end();
  socket.destroySoon();
  return { text, isClosed };
}

const statusOf = ({ text }: Exchange) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
const bodyOf = ({ text }: Exchange) => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4));
const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const handshake = `${upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`;
const ping = JSON.stringify([{ taskType: 'ping', ping: true }]);

describe('after both sides are done no socket is left', () => {
  const paths = ['/%', '/a%zzb', `/images/${'a'.repeat(400)}`, '/', '/v1', '/nowhere', '/health', '//v1/'];
  const requests = {
    'an upgrade without a key': (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
    'a handshake': (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n${handshake}\r\n`,
    'a handshake of a version that does not exist': (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\n${handshake.replace('13', '7')}\r\n`,
    'a handshake of a foreign page': (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n${handshake}\r\n`,
    'a handshake with POST': (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${handshake}\r\n`,
    'an upgrade to h2c': (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
    'a plain request': (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'HTTP/1.0': (path: string) => `GET ${path} HTTP/1.0\r\n\r\n`,
    'a method that does not exist': (path: string) => `BREW ${path} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'a body that never comes': (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[`,
  };

  it.each(Object.entries(requests))('by %s, at any address', async (_, request) => {
    // Nobody waits for an answer to a body that never comes.
    const isWhole = !request('/').endsWith('[');
    await Promise.all(
      paths.map(async (path) => {
        if (isWhole) return exchange(request(path), 100);
        const socket = createConnection({ port, host: '127.0.0.1' });
        socket.on('error', () => {});
        socket.end(request(path));
        socket.resume();
        return undefined;
      }),
    );
    await expect.poll(connections).toBe(0);
  });

  it('nor by any two requests on one connection, and both are answered', async () => {
    const ends = ['/%', '/nowhere', '/health', `/images/${'a'.repeat(400)}`];
    const firsts = ends.flatMap((path) => [
      requests['a plain request'](path),
      requests['an upgrade to h2c'](path),
    ]);
    const unanswered: string[] = [];
    await Promise.all(
      firsts.map(async (first) => {
        const answer = await exchange(first + requests['a plain request']('/health'));
        const count = answer.text.split('HTTP/1.1 ').length - 1;
        if (count !== 2 && !answer.isClosed) unanswered.push(first);
      }),
    );
    expect(unanswered).toEqual([]);
    await expect.poll(connections).toBe(0);
  });
});

describe('a request that cannot be read', () => {
  it.each([
    ['is no HTTP', 'hello\r\n\r\n', 400, 'invalidRequest'],
    ['has no Host', 'GET /health HTTP/1.1\r\n\r\n', 400, ''],
    [
      'has two lengths',
      'POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n[]',
      400,
      'invalidRequest',
    ],
    [
      'has headers of 40 kB',
      `GET /health HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
      431,
      'headersTooLarge',
    ],
  ])(
    'because it %s is answered in the shape of every error, and its connection ends',
    async (_, text, status, code) => {
      const answer = await exchange(text);
      expect(statusOf(answer)).toBe(status);
      expect(answer.isClosed).toBe(true);
      if (code === '') return;
      const { data, errors, error } = bodyOf(answer);
      expect(data).toEqual([]);
      expect(errors).toEqual([error]);
      expect(error).toMatchObject({ code, message: expect.stringMatching(/\.$/) });
      await expect.poll(connections).toBe(0);
    },
  );
});

const post = (path: string, body: Buffer | string, headers: Record<string, string> = {}, method = 'POST') =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    body: body as string,
    headers: { 'content-type': 'application/json', ...headers },
  });
const pong = { data: [{ taskType: 'ping', pong: true }] };

describe('POST /v1', () => {
  it.each(['/v1/', '//v1', '//v1//', '/v1?x=1', '/'])('is meant by %s', async (path) => {
    expect(await (await post(path, ping)).json()).toEqual(pong);
  });

  it('is answered although the client asks for h2c, as Java and curl --http2 do', async () => {
    const head = `POST /v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: ${ping.length}\r\n\r\n`;
    const answer = await exchange(head + ping);
    expect(statusOf(answer)).toBe(200);
    expect(bodyOf(answer)).toEqual(pong);
  });

  it.each([
    ['gzip', gzipSync(ping)],
    ['x-gzip', gzipSync(ping)],
    ['deflate', deflateSync(ping)],
    ['br', brotliCompressSync(ping)],
    ['identity', Buffer.from(ping)],
  ])('takes a body with Content-Encoding %s', async (encoding, body) => {
    expect(await (await post('/v1', body, { 'content-encoding': encoding })).json()).toEqual(pong);
  });

  it.each([
    [
      'an encoding it does not know',
      { 'content-encoding': 'zstd' },
      ping,
      415,
      'unsupportedContentEncoding',
      "'zstd'",
    ],
    ['what is not gzip', { 'content-encoding': 'gzip' }, ping, 400, 'invalidBody', 'decompressed'],
    [
      'gzip that is cut short',
      { 'content-encoding': 'gzip' },
      gzipSync(ping).subarray(0, 20),
      400,
      'invalidBody',
      'decompressed',
    ],
    [
      'a form',
      { 'content-type': 'multipart/form-data; boundary=x' },
      '--x--',
      415,
      'unsupportedContentType',
      'JSON array',
    ],
  ])('refuses %s by name', async (_, headers, body, status, code, words) => {
    const response = await post('/v1', body, headers as unknown as Record<string, string>);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect([response.status, error.code]).toEqual([status, code]);
    expect(error.message).toContain(words);
  });

  it('refuses what is larger than the limit once it is decompressed', async () => {
    await restart({ 'body-limit': '100KB' });
    const response = await post('/v1', gzipSync(`["${'x'.repeat(10_000_000)}"]`), {
      'content-encoding': 'gzip',
    });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 'valueTooLarge' } });
  });

  it.each(['', 'json', ';', 'text/', 'application/json; charset'])(
    'parses a body with Content-Type %j',
    async (type) => {
      const head = `POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${ping.length}\r\n\r\n`;
      expect(bodyOf(await exchange(head + ping))).toEqual(pong);
    },
  );

  it.each(['PUT', 'PATCH', 'DELETE', 'GET', 'PROPFIND'])(
    '%s is 405 and says what is allowed',
    async (method) => {
      const answer = await exchange(`${method} /v1/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      expect(statusOf(answer)).toBe(405);
      expect(/^allow: (.*)\r$/im.exec(answer.text)?.[1]).toBe('POST, OPTIONS');
      expect(bodyOf(answer).error.code).toBe('methodNotAllowed');
    },
  );
});

describe('pages of other origins', () => {
  const asPage = (path: string, origin: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { origin, ...init.headers } });
  const preflight = (path: string, origin: string) =>
    asPage(path, origin, {
      method: 'OPTIONS',
      headers: {
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,x-sdk-name',
      },
    });
  const allowed = (response: Response) => response.headers.get('access-control-allow-origin');

  it('of this machine may use a server without keys, and others may not', async () => {
    const own = 'http://localhost:3000';
    const foreign = 'https://evil.example';
    for (const path of ['/v1', '/', '/health', '/openapi.json', '/v1/images/edits']) {
      const asked = await preflight(path, own);
      expect([asked.status, allowed(asked)], path).toEqual([204, own]);
      expect(asked.headers.get('access-control-allow-headers')).toBe('authorization,content-type,x-sdk-name');
      expect(allowed(await preflight(path, foreign)), path).toBe(null);
    }
    expect((await preflight('/v1', own)).headers.get('access-control-allow-methods')).toBe('POST, OPTIONS');
    for (const body of [ping, '[']) {
      const answer = await asPage('/v1', own, { method: 'POST', body });
      expect(allowed(answer)).toBe(own);
      expect(answer.headers.get('vary')).toBe('Origin');
    }
    for (const path of ['/health', '/ready', '/metrics', '/nowhere', '/%']) {
      expect(allowed(await asPage(path, own)), path).toBe(own);
      expect(allowed(await asPage(path, foreign)), path).toBe(null);
    }
    const refused = await asPage('/v1', foreign, { method: 'POST', body: ping });
    expect([refused.status, allowed(refused)]).toEqual([403, null]);
  });

  it('may use a server with keys, wherever they come from, when they have a key', async () => {
    await restart({ 'api-keys': 'right' });
    const origin = 'https://editor.example';
    expect(allowed(await preflight('/v1', origin))).toBe(origin);
    const headers = { authorization: 'Bearer right' };
    const answer = await asPage('/v1', origin, { method: 'POST', body: ping, headers });
    expect([answer.status, allowed(answer)]).toEqual([200, origin]);
    const wrong = await asPage('/v1', origin, { method: 'POST', body: ping });
    expect([wrong.status, allowed(wrong)]).toEqual([401, origin]);
  });

  it('may read pictures and documents, whoever they are', async () => {
    const { body } = await bench.post([{ ...task, taskUUID }]);
    for (const path of [
      new URL(String(body.data[0]!.imageURL)).pathname,
      '/openapi.json',
      '/registry.json',
    ]) {
      expect(allowed(await asPage(path, 'https://evil.example')), path).toBe('*');
    }
  });
});
