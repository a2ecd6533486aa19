/** The playground when something is missing: a key, the server, the engine, room in the queue, a picture. */

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServerProcess } from '../e2e/server-process.ts';
import {
  buildPages,
  drop,
  example,
  hasBrowser,
  launch,
  patience,
  run,
  sentence,
  set,
  visit,
} from './browser.ts';

vi.setConfig({ testTimeout: 3 * patience, hookTimeout: 3 * patience });

const scripted = fileURLToPath(new URL('../fixtures/scripted-server.ts', import.meta.url));
/** Console errors that the browser prints when the server is stopped or refuses. */
const expectedErrors = /ERR_CONNECTION_REFUSED|WebSocket connection|Failed to load resource/;

describe.skipIf(!hasBrowser)('the playground', () => {
  let browser: Browser;
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    await buildPages();
    browser = await launch();
  });

  afterAll(() => browser?.close());

  afterEach(async () => {
    for (const clean of cleanups.splice(0).reverse()) await clean();
  });

  async function folder(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'retouch-browser-'));
    cleanups.push(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  async function start(options: Parameters<typeof ServerProcess.start>[0]): Promise<ServerProcess> {
    const server = await ServerProcess.start(options);
    cleanups.push(() => server.stop());
    return server;
  }

  /** The prompt of an edit scripts its engine: test/fixtures/scripted-child.ts. */
  async function startScripted(env: Record<string, string> = {}): Promise<ServerProcess> {
    return start({ dataDir: await folder(), env, command: [process.execPath, scripted] });
  }

  async function open(url: string) {
    const { page } = await visit(browser, url, { expectedErrors });
    cleanups.push(() => page.context().close());
    return page;
  }

  it('asks for a key where there are keys, refuses a wrong one, and keeps the right one', async () => {
    const { url } = await start({ dataDir: await folder(), env: { RETOUCH_API_KEYS: 'the-key' } });
    const context = await browser.newContext();
    cleanups.push(() => context.close());
    const page = await context.newPage();
    await page.goto(url);
    const dialog = page.getByRole('dialog', { name: 'This server asks for an API key' });
    const field = dialog.getByLabel('API key');
    await field.fill('another');
    await field.press('Enter');
    await dialog.getByText('The server does not take the key').waitFor();
    await field.fill('the-key');
    await field.press('Enter');
    await dialog.waitFor({ state: 'hidden' });
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await run(page, 'turn the red car blue');
    await page.reload();
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.getByRole('tab', { name: 'Code' }).click();
    const code = await page.locator('.code pre').innerText();
    expect(code).toContain('$RETOUCH_API_KEY');
    expect(code).not.toContain('the-key');
    await page.getByRole('tab', { name: 'Server' }).click();
    await page.getByRole('button', { name: 'Forget the API key' }).click();
    await dialog.waitFor();
  });

  it('gets the result of an edit during which the server was killed and started again', async () => {
    const dataDir = await folder();
    const first = await ServerProcess.start({ dataDir });
    const port = new URL(first.url).port;
    const page = await open(first.url);
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '50');
    await set(page, 'numberResults', '4');
    await sentence(page).fill('turn the red car blue');
    await sentence(page).press('Enter');
    await page.getByText(/step \d+ of 50/).waitFor();
    first.child.kill('SIGKILL');
    await first.exit;
    await page
      .locator('.progress')
      .getByText('The server does not answer; the edit goes on when it is back')
      .waitFor();
    await start({ dataDir, env: { RETOUCH_PORT: port } });
    await expect.poll(() => page.locator('.tile img').count(), { timeout: patience }).toBe(4);
    await page.getByText('Ready', { exact: true }).waitFor();
  });

  it('sends an edit that was asked for while the server was away', async () => {
    const dataDir = await folder();
    const first = await ServerProcess.start({ dataDir });
    const port = new URL(first.url).port;
    const page = await open(first.url);
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await first.stop();
    await page.getByText('No answer').waitFor();
    await sentence(page).fill('turn the red car blue');
    await sentence(page).press('Enter');
    await page.locator('.progress').getByText('The server does not answer; the edit goes on').waitFor();
    await start({ dataDir, env: { RETOUCH_PORT: port } });
    await page.locator('.compare').waitFor();
  });

  it('says that the engine stopped, and tries again', async () => {
    const { url } = await startScripted();
    const page = await open(url);
    await sentence(page).fill('step crash:SIGKILL');
    await sentence(page).press('Enter');
    await page.getByRole('heading', { name: 'The engine stopped while it made this picture' }).waitFor();
    await page.getByText('engineCrashed').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(() => page.locator('.strip > li').count()).toBe(2);
  });

  it('says that the queue is full, and where an edit stands in it', async () => {
    const { url } = await startScripted({ RETOUCH_QUEUE_LIMIT: '3' });
    const page = await open(url);
    const send = async (text: string) => {
      await sentence(page).fill(text);
      await sentence(page).press('Enter');
    };
    await send('step orphan');
    await page.getByText(/step 1 of 28/).waitFor();
    await send('step step');
    await page.locator('.progress').getByText('In the queue: 1 image before it').waitFor();
    await send('slow');
    await page.locator('.progress').getByText('In the queue: 2 images before it').waitFor();
    await send('one too many');
    await page.getByRole('heading', { name: 'The queue is full' }).waitFor();
  });

  it('uploads a picture again that the server has forgotten', async () => {
    const dataDir = await folder();
    const { url } = await start({ dataDir });
    const page = await open(url);
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await run(page, 'turn the red car blue');
    const images = join(dataDir, 'images');
    for (const name of await readdir(images)) await rm(join(images, name), { recursive: true, force: true });
    await sentence(page).fill('make it night');
    await sentence(page).press('Enter');
    await expect.poll(() => page.locator('.strip > li').count()).toBe(3);
    await page.locator('.strip > li').last().locator('img:not(.dim)').waitFor();
    await page.locator('.compare').waitFor();
  });

  it('says that a result is gone, and makes it again', async () => {
    const { url } = await start({ dataDir: await folder() });
    const page = await open(url);
    await set(page, 'steps', '4');
    let gone = true;
    await page.route('**/images/**', (route) => (gone ? route.fulfill({ status: 404 }) : route.continue()));
    await sentence(page).fill('a red car on the left');
    await sentence(page).press('Enter');
    await page.getByRole('heading', { name: 'The server no longer has this picture' }).waitFor();
    gone = false;
    await page.getByRole('button', { name: 'Make it again' }).click();
    await page.locator('.compare').waitFor();
  });
});
