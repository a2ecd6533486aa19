import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServerProcess } from '../e2e/server-process.ts';
import {
  buildPages,
  drop,
  dropBytes,
  example,
  expectNoFaults,
  hasBrowser,
  launch,
  patience,
  requestShown,
  run,
  sentence,
  set,
  thumbs,
  type Visit,
  visit,
} from './browser.ts';

vi.setConfig({ testTimeout: 3 * patience, hookTimeout: 3 * patience });

describe.skipIf(!hasBrowser)('the playground', () => {
  let folder: string;
  let server: ServerProcess;
  let browser: Browser;
  const visits: Visit[] = [];

  beforeAll(async () => {
    await buildPages();
    folder = await mkdtemp(join(tmpdir(), 'retouch-browser-'));
    server = await ServerProcess.start({ dataDir: folder });
    browser = await launch();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  afterEach(async () => {
    for (const each of visits.splice(0)) {
      expectNoFaults(each);
      await each.page.context().close();
    }
  });

  const open = async (options?: Parameters<typeof visit>[2]) => {
    const opened = await visit(browser, server.url, options);
    visits.push(opened);
    return opened.page;
  };

  it('edits a picture that is dropped, shows how far it is, and compares the result with the picture', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '50');
    await sentence(page).fill('turn the red car blue');
    await sentence(page).press('Enter');
    await page.getByText(/step \d+ of 50/).waitFor();
    await page.getByAltText('Preview').waitFor();
    await page.locator('.compare').waitFor();
    await page.locator('.facts', { hasText: /seed \d+/ }).waitFor();
    const slider = page.getByRole('slider', { name: /picture before/ });
    await slider.focus();
    for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowRight');
    expect(await slider.inputValue()).toBe('5');
    const box = (await page.locator('.compare').boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 20, { steps: 4 });
    await page.mouse.up();
    expect(Number(await slider.inputValue())).toBeGreaterThan(70);
  });

  it('chains edits, takes them back one by one, and branches', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '8');
    await run(page, 'turn the red car blue');
    await page.getByRole('button', { name: 'Continue from here' }).click();
    expect(await sentence(page).inputValue()).toBe('');
    await run(page, 'make it night');
    expect(await thumbs(page).count()).toBe(3);
    await page
      .locator('h1, body')
      .first()
      .click({ position: { x: 2, y: 2 } });
    await page.keyboard.press('Control+z');
    expect(await sentence(page).inputValue()).toBe('make it night');
    await page.getByRole('button', { name: 'Undo' }).click();
    expect(await sentence(page).inputValue()).toBe('turn the red car blue');
    await page.getByRole('button', { name: 'Redo' }).click();
    await page.getByRole('button', { name: 'turn the red car blue', exact: true }).last().click();
    // From the first result into another direction.
    await page.getByRole('button', { name: 'Continue from here' }).click();
    await run(page, 'make it sunset');
    expect(await thumbs(page).count()).toBe(4);
    expect(await page.locator('.thumb[data-branch]').count()).toBe(1);
    expect(await page.locator('.thumb[data-lit]').count()).toBe(3);
  });

  it('cancels an edit that is being made', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'numberResults', '20');
    await set(page, 'steps', '50');
    await sentence(page).fill('make it night');
    await sentence(page).press('Enter');
    await page.getByText(/step \d+ of 50/).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('progressbar', { name: 'Progress of the edit' }).waitFor({ state: 'detached' });
    await expect.poll(async () => (await server.health()).queue.depth).toBe(0);
  });

  it('makes twenty results, each with its seed, and more like them', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'numberResults', '20');
    await set(page, 'steps', '1');
    await set(page, 'seed', '100');
    await sentence(page).fill('make it night');
    await sentence(page).press('Enter');
    await expect.poll(() => page.locator('.tile img').count(), { timeout: patience }).toBe(20);
    const seeds = await page.locator('.tile .badge').allInnerTexts();
    expect(seeds.map((text) => text.replace(/\D/g, ''))).toEqual(
      Array.from({ length: 20 }, (_, i) => `${100 + i}`),
    );
    await page.getByRole('button', { name: /More like this/ }).click();
    await page.locator('.tile .badge', { hasText: '120' }).waitFor();
    await page.locator('.tile img').first().click();
    await page.locator('.compare').waitFor();
    await page.getByRole('button', { name: 'All 20' }).click();
    await page.locator('.grid').waitFor();
  });

  it('restores every parameter from the metadata of a result', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '6');
    await set(page, 'seed', '77');
    await page.getByLabel('scheduler', { exact: true }).selectOption('DPM++ 2M Karras');
    await page.getByText('Step caches').click();
    await page.getByRole('switch', { name: 'teaCache' }).check();
    await run(page, 'turn the red car blue');
    const saved = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Save' }).click();
    const path = await (await saved).path();
    await page.getByRole('button', { name: 'Reset all' }).click();
    await sentence(page).fill('');
    expect(await requestShown(page)).not.toHaveProperty('steps');
    await drop(page, path, 'image/jpeg');
    await page.getByText('Every parameter of this picture is restored').waitFor();
    expect(await requestShown(page)).toMatchObject({
      positivePrompt: 'turn the red car blue',
      ...{ steps: 6, seed: 77, scheduler: 'DPM++ 2M Karras', width: 1024, height: 1024 },
      acceleratorOptions: { teaCache: true },
      inputs: { referenceImages: [expect.stringMatching(/^[0-9a-f-]{36}$/)] },
    });
  });

  it('shows a wrong value at the field that the server names', async () => {
    const page = await open();
    await set(page, 'steps', '99');
    await sentence(page).fill('a red car');
    await sentence(page).press('Enter');
    const field = page.getByRole('textbox', { name: 'steps', exact: true });
    await page
      .locator('.field', { has: field })
      .getByText(/found 99, expected an integer from 1 to 50/)
      .waitFor();
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    await field.fill('4');
    expect(await field.getAttribute('aria-invalid')).toBe('false');
  });

  it('keeps its history over a reload, and goes on with an edit that was being made', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '8');
    await run(page, 'turn the red car blue');
    await set(page, 'steps', '50');
    await set(page, 'numberResults', '3');
    await sentence(page).fill('make it night');
    await sentence(page).press('Enter');
    await page.getByText(/step \d+ of 50/).waitFor();
    await page.reload();
    await expect.poll(() => page.locator('.tile img').count(), { timeout: patience }).toBe(3);
    expect(await thumbs(page).count()).toBe(3);
    expect(await sentence(page).inputValue()).toBe('make it night');
  });

  it('shows in a second tab what the first one makes', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    const other = await page.context().newPage();
    await other.goto(server.url);
    await expect.poll(() => thumbs(other).count()).toBe(1);
    await set(page, 'steps', '8');
    await run(page, 'turn the red car blue');
    await expect.poll(() => thumbs(other).count(), { timeout: patience }).toBe(2);
    await thumbs(other).last().getByRole('button').first().click();
    await other.locator('.compare').waitFor();
    // Neither tab is hidden here, as in two windows side by side.
    await set(page, 'steps', '50');
    await sentence(page).fill('make it night');
    await sentence(page).press('Enter');
    await thumbs(other).nth(2).getByRole('button').first().click();
    await other.getByText(/step \d+ of 50/).waitFor();
    await other.locator('.compare').waitFor();
  });

  it('is used by the keyboard alone: an example, a sentence, a run, the slider, the next edit', async () => {
    const page = await open();
    const focused = () => page.evaluate<string>("document.activeElement?.textContent?.trim() ?? ''");
    const tabTo = async (text: RegExp) => {
      for (let i = 0; i < 80; i++) {
        if (text.test(await focused())) return;
        await page.keyboard.press('Tab');
      }
      throw new Error(`No Tab led to ${text}`);
    };
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the sentence');
    await tabTo(/^turn the red car blue$/);
    await page.keyboard.press('Enter');
    await page.locator('#prompt:focus').waitFor();
    await page.keyboard.press('Control+a');
    await page.keyboard.type('make it night');
    await page.keyboard.press('Enter');
    await page.locator('.compare').waitFor();
    await page.locator('.skip').focus();
    await tabTo(/^Continue from here/);
    await page.keyboard.press('Enter');
    await page.locator('#prompt:focus').waitFor();
  });

  it('uses adapters with their weights and guide pictures', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await page.getByText('LoRA', { exact: true }).click();
    await page.getByRole('button', { name: 'Neon' }).click();
    await page
      .getByRole('group', { name: 'retouch:neon@1' })
      .getByRole('textbox', { name: 'weight' })
      .fill('0.8');
    await page.getByText('IP-Adapters', { exact: true }).click();
    await page.getByRole('button', { name: 'Mood' }).click();
    await page.getByLabel('Add guide pictures').setInputFiles(example('evening.png'));
    await page.locator('.guide img').waitFor();
    await run(page, 'turn the red car blue');
    expect(await requestShown(page)).toMatchObject({
      lora: [{ model: 'retouch:neon@1', weight: 0.8 }],
      ipAdapters: [{ model: 'retouch:mood@1', guideImages: [expect.stringMatching(/^[0-9a-f-]{36}$/)] }],
    });
  });

  it('says what a step cache saved', async () => {
    const page = await open();
    await page.getByText('Step caches').click();
    await page.getByRole('switch', { name: 'fbCache' }).check();
    await sentence(page).fill('a red car on the left');
    await sentence(page).press('Enter');
    await page.getByText(/cache reused \d+ of 28, saved [\d.]+ s/).waitFor();
  });

  it('edits only where the picture is painted', async () => {
    const page = await open();
    await drop(page, example('scene-car.png'));
    await set(page, 'steps', '4');
    await page.getByRole('button', { name: 'Paint where to edit' }).click();
    await page.getByRole('slider', { name: 'Brush' }).fill('30');
    const box = (await page.locator('.painting').boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.1, box.y + box.height * 0.65);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.25, box.y + box.height * 0.65, { steps: 5 });
    await page.mouse.up();
    await page.getByRole('button', { name: 'Edit only here' }).click();
    await page.locator('.mask').waitFor();
    await run(page, 'turn the red car blue');
    const { inputs } = (await requestShown(page)) as { inputs: Record<string, unknown> };
    expect(inputs.maskImage).toMatch(/^[0-9a-f-]{36}$/);
    // A mask is of the picture that it was painted on.
    await page.getByRole('button', { name: 'Continue from here' }).click();
    expect((await requestShown(page)).inputs).not.toHaveProperty('maskImage');
  });

  it('orders several pictures', async () => {
    const page = await open();
    for (const name of ['scene-car.png', 'scene-house.png']) await drop(page, example(name));
    const first = page.getByRole('button', { name: /^Picture 1 of 2: scene-car/ });
    await first.focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('button', { name: /^Picture 2 of 2: scene-car/ }).waitFor();
    await page.keyboard.press('Delete');
    await page.getByRole('button', { name: /^Picture 1 of 1: scene-house/ }).waitFor();
  });

  it('tells whoever drops a photograph what the small model knows, and offers a scene', async () => {
    const page = await open();
    await drop(page, example('photo-coffee.png'));
    await page.getByText(/looks like a photograph.*FLUX.1 Kontext edits\s+photographs/s).waitFor();
    await page.getByRole('button', { name: 'Try an example scene' }).click();
    await page.getByText(/looks like a photograph/).waitFor({ state: 'detached' });
    expect(await sentence(page).inputValue()).toBe('turn the red car blue');
  });

  it('says that a file is no picture', async () => {
    const page = await open();
    await dropBytes(page, Buffer.from('no picture'), 'notes.png', 'image/png');
    await page.getByText('“notes.png” is not a picture that this browser can read').waitFor();
  });

  it('copies the request as code with one click', async () => {
    const page = await open({ permissions: ['clipboard-read', 'clipboard-write'] });
    await sentence(page).fill('a red car');
    await page.getByRole('tab', { name: 'Code' }).click();
    for (const [name, part] of [
      ['JavaScript', 'requestImages'],
      ['Python', 'requests.post'],
      ['Command line', 'npx retouch edit'],
      ['curl', 'curl -s'],
    ]) {
      await page.getByRole('radio', { name: name!, exact: true }).check();
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.getByText('Copied').waitFor();
      expect(await page.evaluate('navigator.clipboard.readText()')).toContain(part);
    }
  });

  it('shows what runs here, and the reference of the API', async () => {
    const page = await open();
    await page.getByRole('button', { name: /What runs here/ }).click();
    await page.getByText('retouch:neon@1').waitFor();
    await page.getByText(/up to [\d.]+ GiB of/).waitFor();
    await page.getByRole('link', { name: 'API reference' }).click();
    await page.getByRole('heading', { name: 'imageInference' }).waitFor();
    await page.getByText('watchTask').first().waitFor();
  });
});
