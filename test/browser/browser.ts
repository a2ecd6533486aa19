/** Debian's chromium on the playground of a real server, for tests that use the page as a person does. */

import { readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { build } from 'vite';
import { expect } from 'vitest';
import { findProgram, lacks } from '../fixtures/programs.ts';

const executablePath = findProgram('chromium') ?? '/usr/bin/chromium';

export const hasBrowser = !lacks('chromium');

/** A slow machine is not at fault. */
export const patience = 60_000;

const web = fileURLToPath(new URL('../../web', import.meta.url));
export const example = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

/** Builds web/dist, which the servers of these tests serve, where a source is newer: other test files use it meanwhile. */
export async function buildPages(): Promise<void> {
  const built = statSync(join(web, 'dist/index.html'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isNewer = readdirSync(web, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.startsWith('dist'))
    .some((path) => statSync(join(web, path)).mtimeMs > built);
  if (isNewer) await build({ root: web, configFile: `${web}/vite.config.ts`, logLevel: 'error' });
}

export function launch(args: readonly string[] = []): Promise<Browser> {
  // chromium refuses its sandbox when tests run as root.
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}

export type Visit = {
  page: Page;
  /** Faults of the page: exceptions, refusals of its policy, requests to another host. */
  faults: string[];
};

export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions & { expectedErrors?: RegExp } = {},
): Promise<Visit> {
  const { expectedErrors = /^$/, ...contextOptions } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...contextOptions });
  context.setDefaultTimeout(patience);
  const faults: string[] = [];
  const watch = (page: Page) => {
    page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
    page.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' && !expectedErrors.test(text)) faults.push(`console: ${text}`);
    });
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== 'blob:' && protocol !== 'data:' && origin !== new URL(url).origin)
        faults.push(`request: ${request.url()}`);
    });
  };
  context.on('page', watch);
  const page = await context.newPage();
  await page.goto(url);
  await page.getByText('Ready', { exact: true }).waitFor();
  return { page, faults };
}

/** Drops a file like one from the desktop. */
export async function drop(page: Page, path: string, type = 'image/png'): Promise<void> {
  await dropBytes(page, await readFile(path), path.slice(path.lastIndexOf('/') + 1), type);
}

export async function dropBytes(page: Page, bytes: Uint8Array, name: string, type: string): Promise<void> {
  const base64 = Buffer.from(bytes).toString('base64');
  const file = JSON.stringify([base64, name, type]);
  await page.evaluate(`(([data, fileName, fileType]) => {
    const content = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([content], fileName, { type: fileType }));
    dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  })(${file})`);
}

export const sentence = (page: Page) => page.getByRole('textbox', { name: 'What to change' });
export const thumbs = (page: Page) => page.locator('.strip > li');

/** One edit of the picture that is there, to its end. */
export async function run(page: Page, text: string): Promise<void> {
  await sentence(page).fill(text);
  await sentence(page).press('Enter');
  await page.locator('.compare').waitFor();
}

/** A parameter of the panel. */
export async function set(page: Page, name: string, value: string): Promise<void> {
  await page.getByRole('textbox', { name, exact: true }).first().fill(value);
}

export function expectNoFaults({ faults }: Visit): void {
  expect(faults).toEqual([]);
}

export async function requestShown(page: Page): Promise<Record<string, unknown>> {
  await page.getByRole('tab', { name: 'Code' }).click();
  const text = await page.locator('.code pre').innerText();
  await page.getByRole('tab', { name: 'Parameters' }).click();
  return JSON.parse(text.slice(text.indexOf("-d '") + 4, -1))[0];
}
