/** `npm run docs:screenshot`: the playground after an edit, as docs/playground.webp. Needs chromium. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { buildPages, drop, example, launch, run, set, visit } from '../test/browser/browser.ts';
import { ServerProcess } from '../test/e2e/server-process.ts';

const target = fileURLToPath(new URL('../docs/playground.webp', import.meta.url));

await buildPages();
const folder = await mkdtemp(join(tmpdir(), 'retouch-screenshot-'));
const server = await ServerProcess.start({ dataDir: folder, env: { RETOUCH_PORT: '7100' } });
const browser = await launch();
try {
  const { page } = await visit(browser, server.url, { deviceScaleFactor: 2 });
  await drop(page, example('scene-car.png'));
  await set(page, 'seed', '1');
  await run(page, 'turn the red car blue');
  await page.getByRole('button', { name: 'Continue from here' }).click();
  await run(page, 'replace the tree with a white house');
  const slider = page.getByRole('slider', { name: /picture before/ });
  await slider.fill('81');
  await page.getByRole('tab', { name: 'Code' }).click();
  // Waits for the colour transition to end.
  await page.waitForTimeout(500);
  const picture = await page.screenshot();
  const { size } = await sharp(picture).resize(1600).webp({ quality: 80 }).toFile(target);
  console.log(`${target}: ${Math.round(size / 1000)} kB`);
} finally {
  await browser.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
