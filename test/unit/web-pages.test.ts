/** The size of the playground, its requests to other hosts, and its detection of photographs. */

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';
import sharp from 'sharp';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPhotograph } from '../../web/src/pictures/photograph.ts';
import { progressOf } from '../../web/src/state/progress.ts';

const root = new URL('../../', import.meta.url);
const fromRoot = (path: string) => fileURLToPath(new URL(path, root));

describe('the built pages', () => {
  let folder: string;
  let files: Map<string, string>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retouch-web-'));
    const outDir = join(folder, 'dist');
    await build({
      root: fromRoot('web'),
      configFile: fromRoot('web/vite.config.ts'),
      build: { outDir },
      logLevel: 'error',
    });
    const entries = await readdir(outDir, { recursive: true, withFileTypes: true });
    files = new Map();
    for (const entry of entries.filter((each) => each.isFile() && !each.name.endsWith('.br')))
      files.set(entry.name, await readFile(join(entry.parentPath, entry.name), 'utf8'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('load less than 150 kB of compressed script', () => {
    const page = files.get('index.html')!;
    const scripts = [...page.matchAll(/assets\/([\w.-]+\.js)/g)].map(([, name]) => name!);
    expect(scripts.length).toBeGreaterThan(0);
    const bytes = scripts.reduce((sum, name) => sum + brotliCompressSync(files.get(name)!).length, 0);
    console.log(`The first load is ${(bytes / 1000).toFixed(1)} kB of compressed script.`);
    expect(bytes).toBeLessThan(150_000);
  });

  it('have no script and no style inside, and ask no other host', () => {
    for (const [name, text] of files) {
      if (name.endsWith('.html'))
        expect(text, name).not.toMatch(/<script(?![^>]*src=)|<style|\son\w+=|\sstyle=/);
      const hosts = [...text.matchAll(/(?:https?:)?\/\/([a-z0-9-]+\.[a-z]{2,})/g)].map(([, host]) => host);
      // Namespaces are only names; the other URLs are in displayed text.
      expect(
        hosts.filter((host) => !['www.w3', 'preactjs.com'].includes(host!)),
        name,
      ).toEqual([]);
    }
  });

  it('make no HTML of text', async () => {
    const sources = await readdir(fromRoot('web/src'), { recursive: true });
    for (const name of sources.filter((each) => /\.tsx?$/.test(each))) {
      const text = await readFile(fromRoot(`web/src/${name}`), 'utf8');
      expect(text, name).not.toMatch(
        /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|\beval\b/,
      );
    }
  });
});

describe('a photograph', () => {
  async function look(path: string): Promise<boolean> {
    expect(existsSync(fromRoot(path)), path).toBe(true);
    const pixels = sharp(fromRoot(path)).resize(256, 256, { fit: 'inside' }).ensureAlpha().raw();
    const { data, info } = await pixels.toBuffer({ resolveWithObject: true });
    return isPhotograph(data, info.width);
  }

  it.each([
    'examples/photo-coffee.png',
    ...['astronaut', 'chelsea', 'coffee'].map((name) => `test/data/photos/${name}.jpg`),
  ])('is seen in %s', async (path) => expect(await look(path)).toBe(true));

  it.each([
    'scene-car.png',
    'scene-house.png',
    'evening.png',
    'scene-car-blue.jpg',
    'scene-car-neon.jpg',
    'scene-house-night.jpg',
  ])('is not seen in the scene %s', async (name) => expect(await look(`examples/${name}`)).toBe(false));
});

describe('progress', () => {
  const image = (fields: object) => ({ imageUUID: 'x', status: 'processing' as const, ...fields });
  const edit = (...images: object[]) => ({
    images: new Map(images.map((each, index) => [`${index}`, image(each)])),
    stepTimes: [1000, 3000],
  });

  it.each([
    [undefined, 1, 'Sent; waiting for the server'],
    [edit({ status: 'waiting', queuePosition: 3 }), 1, 'In the queue: 3 images before it'],
    [edit({ phase: 'load', fraction: 0.41 }), 1, 'Loading the model 41 %'],
    [edit({ phase: 'denoise', step: 3, steps: 28 }), 1, 'step 3 of 28, 50 s left'],
    [edit({ phase: 'decode', step: 28, steps: 28 }), 1, 'Finishing'],
    [
      edit({ status: 'success' }, { phase: 'denoise', step: 14, steps: 28 }),
      3,
      'Image 2 of 3: step 14 of 28, 84 s left',
    ],
    [edit({ phase: 'denoise', step: 1, steps: 50 }, {}), 2, 'Image 1 of 2: step 1 of 50, 3 min left'],
  ])('is said in words', (state, count, text) => {
    expect(progressOf(state, count, 28).text).toBe(text);
  });

  it('never goes back while an edit goes on', () => {
    const stages = [
      progressOf(undefined, 2, 10),
      progressOf(edit({ phase: 'denoise', step: 5, steps: 10 }), 2, 10),
      progressOf(edit({ phase: 'decode', step: 10, steps: 10 }), 2, 10),
      progressOf(edit({ status: 'success' }), 2, 10),
      progressOf(edit({ status: 'success' }, { phase: 'load' }), 2, 10),
      progressOf(edit({ status: 'success' }, { status: 'success' }), 2, 10),
    ].map(({ fraction }) => fraction);
    expect(stages).toEqual(stages.toSorted((a, b) => a - b));
    expect(stages.at(-1)).toBe(1);
  });
});
