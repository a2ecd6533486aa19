/** The playground for everyone: axe's rules, every width, and nothing that moves while it loads. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
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

const axe = createRequire(import.meta.url).resolve('axe-core');
const widths = [360, 768, 1280, 2560, 3840] as const;
const schemes = ['light', 'dark'] as const;
/** SCREENSHOTS names a folder in which the screenshots are kept. */
const gallery = process.env.SCREENSHOTS;

describe.skipIf(!hasBrowser)('the playground', () => {
  let folder: string;
  let server: ServerProcess;
  let browser: Browser;
  let page: Page | undefined;

  beforeAll(async () => {
    await buildPages();
    folder = await mkdtemp(join(tmpdir(), 'retouch-browser-'));
    if (gallery) await mkdir(gallery, { recursive: true });
    server = await ServerProcess.start({ dataDir: folder });
    browser = await launch();
  });

  afterEach(() => page?.context().close());

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function open(options: Parameters<typeof visit>[2] = {}): Promise<Page> {
    // The tests' own script is none of the page's.
    page = (await visit(browser, server.url, { bypassCSP: true, ...options })).page;
    return page;
  }

  /** Serious and critical violations, each with where it is. */
  async function violations(page: Page): Promise<string[]> {
    await page.addScriptTag({ path: axe });
    const { violations } = await page.evaluate<AxeResults>('axe.run()');
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`),
      );
  }

  it.each(schemes)(
    'breaks no serious rule of axe in %s colours, in any of its states',
    async (colorScheme) => {
      const page = await open({ colorScheme });
      expect(await violations(page), 'empty').toEqual([]);
      await drop(page, example('photo-coffee.png'));
      await page.getByText(/looks like a photograph/).waitFor();
      expect(await violations(page), 'with a photograph').toEqual([]);
      await page.getByRole('button', { name: 'Try an example scene' }).click();
      await set(page, 'steps', '6');
      await run(page, 'turn the red car blue');
      expect(await violations(page), 'with a result').toEqual([]);
      for (const group of await page.locator('.group summary').all()) await group.click();
      await page.getByRole('switch', { name: 'Find the faces' }).check();
      await page.getByRole('button', { name: 'Neon' }).click();
      expect(await violations(page), 'with every parameter').toEqual([]);
      for (const tab of ['Code', 'Server']) {
        await page.getByRole('tab', { name: tab }).click();
        expect(await violations(page), tab).toEqual([]);
      }
      await page.getByRole('tab', { name: 'Parameters' }).click();
      await set(page, 'steps', '99');
      await sentence(page).press('Enter');
      await page
        .getByText(/found 99/)
        .first()
        .waitFor();
      expect(await violations(page), 'with an error').toEqual([]);
      await page.goto(`${server.url}/docs`);
      await page.getByRole('heading', { name: 'imageInference' }).waitFor();
      expect(await violations(page), 'reference').toEqual([]);
    },
  );

  it.each(widths.flatMap((width) => schemes.map((scheme) => [width, scheme] as const)))(
    'fits %i pixels in %s colours, and nothing lies outside',
    async (width, colorScheme) => {
      const height = { 360: 740, 768: 1024, 1280: 800, 2560: 1440, 3840: 2160 }[width];
      const page = await open({ colorScheme, viewport: { width, height } });
      const shoot = async (name: string) => {
        if (gallery) await page.screenshot({ path: join(gallery, `${name}-${width}-${colorScheme}.png`) });
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
        expect(await outside(page, width), name).toEqual([]);
      };
      await shoot('empty');
      await drop(page, example('scene-car.png'));
      const sheet = page.getByRole('button', { name: 'Parameters, code and server' });
      const isNarrow = await sheet.isVisible();
      if (isNarrow) await sheet.click();
      await set(page, 'steps', '6');
      await set(page, 'numberResults', '4');
      if (isNarrow) {
        await shoot('sheet');
        await page.getByRole('button', { name: 'Close' }).click();
        await page.locator('.sheet').waitFor({ state: 'hidden' });
      }
      await sentence(page).fill('turn the red car blue');
      await sentence(page).press('Enter');
      await expect.poll(() => page.locator('.tile img').count(), { timeout: patience }).toBe(4);
      await shoot('grid');
      await page.locator('.tile').first().click();
      await page.locator('.compare').waitFor();
      await shoot('result');
      if (isNarrow) await sheet.click();
      for (const tab of ['Code', 'Server']) {
        await page.getByRole('tab', { name: tab }).click();
        await shoot(tab.toLowerCase());
      }
    },
  );

  it('moves nothing while it loads, and is ready at once', async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    page = await context.newPage();
    await page.addInitScript(`
      globalThis.moved = [];
      new PerformanceObserver((list) => moved.push(...list.getEntries().map((entry) => entry.toJSON())))
        .observe({ type: 'layout-shift', buffered: true });`);
    await page.goto(server.url);
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.locator('.scene img').first().waitFor();
    await page.getByText('numberResults').waitFor();
    const moved = await page.evaluate<{ value: number }[]>('moved');
    expect(moved.reduce((sum, { value }) => sum + value, 0)).toBeLessThan(0.02);
  });
});

/** Buttons and fields beyond the edge of the page, outside the strips that scroll. */
async function outside(page: Page, width: number): Promise<string[]> {
  const found = await page.evaluate<{ name: string; left: number; right: number }[]>(`
    [...document.querySelectorAll('button, a, input, textarea, select')]
      .filter((element) => element.checkVisibility() && !element.closest('.strip, .chips, .hidden, .skip'))
      .map((element) => {
        const { left, right } = element.getBoundingClientRect();
        return { name: element.getAttribute('aria-label') ?? element.textContent, left, right };
      })
      .filter(({ left, right }) => left !== right)`);
  return found.filter(({ left, right }) => left < -1 || right > width + 1).map(({ name }) => name);
}
