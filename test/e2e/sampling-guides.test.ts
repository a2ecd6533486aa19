/** The commands of docs/guide/references.md and docs/guide/step-caches.md, with fewer steps. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { imageInference } from '../../src/api/tasks/image-inference.ts';
import { encodeImage, probeImage } from '../../src/engine/image/image-codec.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-guide-'));
  await draw('photo.png', 60, 40);
  await draw('drawing.png', 40, 60);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function draw(name: string, width: number, height: number): Promise<void> {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => 250 - (i % 97));
  await writeFile(join(folder, name), (await encodeImage({ width, height, data }, 'png', 95)).bytes);
}

async function blocks(guide: string, language: string): Promise<string[]> {
  const text = await readFile(join(root, `docs/guide/${guide}.md`), 'utf8');
  return [...text.matchAll(/```(\w*)\n([\s\S]*?)```/g)]
    .filter(([, name]) => name === language)
    .map(([, , block]) => block!.trim());
}

/** Words between blanks, but for those between quotation marks. */
async function runCommand(command: string): Promise<{ output: string; log: string }> {
  const [program, ...words] = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(
    ([, quoted, plain]) => quoted ?? plain!,
  );
  expect(program).toBe('retouch');
  const args = [join(root, 'bin/retouch.js'), ...words, '--steps', '8', '--seed', '1'];
  const env = { PATH: process.env.PATH, RETOUCH_DATA_DIR: join(folder, 'data') };
  const { stderr } = await run(process.execPath, args, { cwd: folder, env });
  return { output: words[words.indexOf('-o') + 1]!, log: stderr };
}

describe('docs/guide/references.md', () => {
  it('has commands that do what it says', async () => {
    const [one, several, byIndex, ...rest] = await blocks('references', 'sh');
    expect(rest).toEqual([]);
    const [line] = await blocks('references', '');
    const single = await runCommand(one!);
    expect(single.log).toContain(line);
    expect(await probeImage(await readFile(join(folder, single.output)))).toMatchObject({
      width: 1248,
      height: 832,
    });
    expect((await runCommand(several!)).log).toContain('References were read at 1248×832, 832×1248.');
    await runCommand(byIndex!);
    expect(await readFile(join(folder, 'index.png'))).not.toEqual(await readFile(join(folder, 'wall.png')));
  });
});

describe('docs/guide/step-caches.md', () => {
  it('has commands that do what it says', async () => {
    const [tea, careful, bold, kept, ...rest] = await blocks('step-caches', 'sh');
    expect(rest).toEqual([]);
    const [line] = await blocks('step-caches', '');
    const shape = (text: string) => text.replace(/[\d.]+/g, 'N');
    const { log } = await runCommand(tea!);
    expect(shape(log)).toContain(shape(line!));
    await runCommand(careful!);
    await runCommand(bold!);
    await runCommand(kept!);
    expect(await readFile(join(folder, 'kept.png'))).not.toEqual(await readFile(join(folder, 'bold.png')));
  });

  it('has an example that the API takes', async () => {
    const [example] = await blocks('step-caches', 'json');
    const { acceleratorOptions } = JSON.parse(example!);
    const known = Object.keys(imageInference.schema.properties.acceleratorOptions.properties);
    expect(known).toEqual(expect.arrayContaining(Object.keys(acceleratorOptions)));
  });

  it('speaks of every property of acceleratorOptions', async () => {
    const text = await readFile(join(root, 'docs/guide/step-caches.md'), 'utf8');
    for (const name of Object.keys(imageInference.schema.properties.acceleratorOptions.properties))
      expect(text).toContain(`\`${name}\``);
  });
});
