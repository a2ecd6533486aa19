import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { fastify } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { playground } from '../../src/server/playground.ts';
import { temporaryFolder } from './fixture.ts';

const image = new URL('../../examples/scene-car.png', import.meta.url).pathname;
const models = {
  find: (air: string) =>
    air === 'a:b@1'
      ? {
          examples: [
            { prompt: 'x', image },
            { prompt: 'y', image: undefined },
          ],
        }
      : undefined,
} as unknown as Parameters<typeof playground>[1]['models'];

let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeEach(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder.path, 'assets'));
  await writeFile(join(folder.path, 'index.html'), '<!doctype html><title>Retouch</title>');
  await writeFile(join(folder.path, 'docs.html'), '<!doctype html><title>API</title>');
  await writeFile(join(folder.path, 'assets/main-1.js'), 'export {};');
  await writeFile(join(folder.path, 'assets/main-1.js.br'), brotliCompressSync('export {};'));
  await writeFile(join(folder.path, 'secret.key'), 'no page');
});

afterEach(() => folder[Symbol.asyncDispose]());

async function open(at = folder.path) {
  const server = fastify();
  await server.register(playground, { models, folder: at });
  server.get('/', (_request, reply) => reply.sendPlayground());
  return server;
}

describe('the playground', () => {
  it('is a page under a policy without unsafe-inline, of this server alone', async () => {
    const server = await open();
    for (const url of ['/', '/docs']) {
      const { statusCode, headers } = await server.inject(url);
      expect(statusCode).toBe(200);
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toMatch(/unsafe|https?:|\*/);
    }
  });

  it('sends scripts compressed to whoever takes it, to be kept for ever', async () => {
    const server = await open();
    const plain = await server.inject('/assets/main-1.js');
    expect(plain.body).toBe('export {};');
    expect(plain.headers['cache-control']).toContain('immutable');
    const headers = { 'accept-encoding': 'gzip, br' };
    const small = await server.inject({ url: '/assets/main-1.js', headers });
    expect(small.headers['content-encoding']).toBe('br');
  });

  it('answers 304 to a browser that has the page', async () => {
    const server = await open();
    const { headers } = await server.inject('/');
    const again = await server.inject({ url: '/', headers: { 'if-none-match': String(headers.etag) } });
    expect(again.statusCode).toBe(304);
  });

  it('serves no file that is not one of its pages', async () => {
    const server = await open();
    for (const url of ['/secret.key', '/assets/../secret.key', '/assets/%2e%2e/%2e%2e/package.json'])
      expect((await server.inject(url)).statusCode, url).toBe(404);
  });

  it('says in one sentence how to build it where it is not built', async () => {
    const server = await open(join(folder.path, 'nowhere'));
    const { statusCode, body } = await server.inject('/');
    expect(statusCode).toBe(503);
    expect(body).toMatch(/^The playground is not built: run `npm run build:web`/);
  });

  it('serves the pictures of a model’s examples', async () => {
    const server = await open();
    const found = await server.inject('/models/a:b@1/examples/0');
    expect(found.headers['content-type']).toBe('image/png');
    for (const url of ['/models/a:b@1/examples/1', '/models/a:b@1/examples/7', '/models/c:d@1/examples/0'])
      expect((await server.inject(url)).statusCode, url).not.toBe(200);
  });
});
