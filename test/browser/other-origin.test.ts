/** The playground served from another origin, with the server's address in `?server=`. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServerProcess } from '../e2e/server-process.ts';
import { buildPages, drop, example, hasBrowser, launch, patience, run, set } from './browser.ts';

vi.setConfig({ testTimeout: 3 * patience, hookTimeout: 3 * patience });

const built = fileURLToPath(new URL('../../web/dist', import.meta.url));
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** Serves the built pages like a static host. */
async function serveStatic(): Promise<Server> {
  const site = createServer(async (request, response) => {
    const { pathname } = new URL(request.url!, 'http://site');
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    const bytes = await readFile(join(built, name)).catch(() => undefined);
    response.writeHead(bytes ? 200 : 404, { 'content-type': types[extname(name)] ?? 'text/plain' });
    response.end(bytes);
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  return site;
}

describe.skipIf(!hasBrowser)('the playground of another origin', () => {
  let site: Server;
  let browser: Browser;
  let origin: string;
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    await buildPages();
    site = await serveStatic();
    // A name that is not of this machine, as the server sees it in Origin.
    browser = await launch(['--host-resolver-rules=MAP playground.example 127.0.0.1']);
    origin = `http://playground.example:${(site.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    await browser?.close();
    site?.close();
  });

  afterEach(async () => {
    for (const clean of cleanups.splice(0).reverse()) await clean();
  });

  async function start(env: Record<string, string> = {}): Promise<ServerProcess> {
    const dataDir = await mkdtemp(join(tmpdir(), 'retouch-browser-'));
    cleanups.push(() => rm(dataDir, { recursive: true, force: true }));
    const server = await ServerProcess.start({ dataDir, env });
    cleanups.push(() => server.stop());
    return server;
  }

  async function open(server: ServerProcess): Promise<Page> {
    const page = await browser.newPage();
    page.setDefaultTimeout(patience);
    await page.goto(`${origin}/?server=${encodeURIComponent(server.url)}`);
    return page;
  }

  it('edits with a key, and compares the result with the picture', async () => {
    const server = await start({ RETOUCH_API_KEYS: 'the-key' });
    const page = await open(server);
    const field = page.getByRole('dialog', { name: 'This server asks for an API key' }).getByLabel('API key');
    await field.fill('the-key');
    await field.press('Enter');
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await run(page, 'turn the red car blue');
    await page.getByRole('slider', { name: /picture before/ }).waitFor();
    await page.getByRole('tab', { name: 'Code' }).click();
    expect(await page.locator('.code pre').innerText()).toContain(server.url);
  });

  it('is refused by a server without keys, which only pages of its own machine may use', async () => {
    const server = await start();
    const page = await open(server);
    const response = await fetch(`${server.url}/v1`, { method: 'POST', headers: { origin }, body: '[]' });
    expect(response.status).toBe(403);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
    await page.getByText('without keys a server answers pages of its own machine only').first().waitFor();
  });
});
