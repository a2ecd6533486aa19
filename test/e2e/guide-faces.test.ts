/** Every command and every piece of JSON of docs/guide/faces.md and docs/guide/safety.md, in their order. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseTasks } from '../../src/api/parse.ts';
import type { ImageInferenceTask } from '../../src/api/tasks/image-inference.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { readManifest } from '../../src/store/manifest.ts';
import { encodeDetector } from '../fixtures/onnx-detector.ts';
import { photoFile } from '../fixtures/photos.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));

async function read(name: string): Promise<{ commands: string[]; json: string[] }> {
  const text = await readFile(join(root, 'docs/guide', name), 'utf8');
  const blocks = (kind: string) =>
    [...text.matchAll(new RegExp(`\`\`\`${kind}\n(.*?)\`\`\``, 'gs'))].map(([, body]) => body!);
  return { commands: blocks('sh'), json: blocks('json') };
}

const [faces, safety] = [await read('faces.md'), await read('safety.md')];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-guide-'));
  const at = (name: string) => join(folder, name);
  await copyFile(photoFile('astronaut.jpg'), at('portrait.jpg'));
  await copyFile(photoFile('coffee.jpg'), at('photo.jpg'));
  await cp(join(root, 'test/data/vit/model'), at('nsfw_image_detection'), { recursive: true });
  // One face in the middle of every picture.
  const found = Float32Array.of(250, 250, 390, 390, 0.95, 0);
  await writeFile(at('yolov8n-face.onnx'), encodeDetector(found, [1, 1, 6], [1, 3, 640, 640]));
  await writeFile(
    at('retouch'),
    `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'bin/retouch.js')}' "$@"\n`,
  );
  await chmod(at('retouch'), 0o755);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function sh(commands: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = { PATH: `${folder}:${process.env.PATH}`, HOME: folder, RETOUCH_DATA_DIR: join(folder, 'data') };
  const child = spawn('sh', ['-c', `set -e\n${commands}`], { env, cwd: folder });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

/** Few steps and one seed, for the test's time and so that runs can be compared. */
const quick = (command: string) => command.replace(' -o ', ' --steps 2 --seed 5 -o ');

async function edit(command: string, output: string) {
  const result = await sh(quick(command));
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return { ...result, picture: await decodeImage(await readFile(join(folder, output))) };
}

/** A parameter as the guides show it, in a task. */
function taskOf(json: string): ImageInferenceTask {
  const task = {
    taskType: 'imageInference',
    taskUUID: randomUUID(),
    model: 'retouch:mini@1',
    positivePrompt: 'make the sky pink',
    ...JSON.parse(`{${json}}`),
  };
  const known = { maxTasks: 1, explainMissingModel: () => undefined, explainAdapter: () => undefined };
  const [parsed] = parseTasks(new TextEncoder().encode(JSON.stringify([task])), known);
  if (parsed && 'task' in parsed) return parsed.task as ImageInferenceTask;
  throw new Error(parsed?.failures.map(({ error }) => error.message).join('\n'));
}

const manifestOf = async (name: string) =>
  JSON.parse(await readFile(join(folder, 'data/models', name, 'manifest.json'), 'utf8'));

describe('the guide to faces', () => {
  it('has a task with parameters that are valid', () => {
    expect(taskOf(faces.json[0]!).ultralytics).toMatchObject({ confidence: 0.6, strength: 0.4, steps: 20 });
  });

  it("adds an operator's detector, whose manifest is the one shown, and uses it", async () => {
    expect(await sh(faces.commands[2]!)).toMatchObject({ code: 0, stderr: '' });
    const shown = JSON.parse(faces.json[1]!.replace('/home/me', folder));
    const { settings, ...rest } = shown;
    const installed = join(folder, 'data/models/me-yolo@1/manifest.json');
    expect(await manifestOf('me-yolo@1')).toEqual(rest);
    await writeFile(installed, JSON.stringify({ ...rest, settings }));
    expect(await readManifest(join(folder, 'data/models/me-yolo@1'))).toMatchObject({ settings });
    const refined = await edit(faces.commands[0]!, 'autumn.png');
    expect(refined.stderr).toContain('Refining');
    const plain = await edit(faces.commands[0]!.replace('--faces ', ''), 'autumn.png');
    expect(plain.stderr).not.toContain('Refining');
    // 250 … 390 of 640, in 1024: the padding and the blur reach 18 pixels further.
    const [from, to] = [400 - 18, 624 + 18];
    let [inside, outside] = [0, 0];
    for (let i = 0; i < plain.picture.data.length; i++) {
      if (plain.picture.data[i] === refined.picture.data[i]) continue;
      const [x, y] = [Math.floor(i / 3) % 1024, Math.floor(i / 3 / 1024)];
      if (x >= from && x < to && y >= from && y < to) inside++;
      else outside++;
    }
    expect(outside).toBe(0);
    expect(inside).toBeGreaterThan(10_000);
  });

  // The detector just added finds a face in every picture; the embedded model's copy of a photograph has none.
  it('refines faces from the shell, with settings and without', async () => {
    const refined = await edit(faces.commands[0]!, 'autumn.png');
    expect(refined.stderr).toContain('Refining');
    const set = await edit(faces.commands[1]!, 'autumn.png');
    expect(set.stderr).toContain('Refining');
  });

  it('refuses a setting that there is not, and one beyond its range', async () => {
    const wrong = (setting: string) => sh(`retouch edit portrait.jpg "x y" --face ${setting} -o wrong.png`);
    expect((await wrong('strenght=1')).stderr).toContain("Did you mean 'strength'?");
    expect((await wrong('strength=2')).stderr).toMatch(/--face strength: found 2, expected/);
  });
});

describe('the guide to safety', () => {
  it('has a task with parameters that are valid', () => {
    expect(taskOf(safety.json[0]!).safety).toEqual({ checkContent: true, mode: undefined });
  });

  it('tells in the shell what the bundled classifier found', async () => {
    const { stdout } = await edit(safety.commands[0]!, 'pink.png');
    expect(stdout).toMatch(/pink\.png · .* · no unsafe content found\n$/);
  });

  it("adds an operator's classifier and uses it, with the threshold of its settings", async () => {
    expect(await sh(safety.commands[1]!)).toMatchObject({ code: 0, stderr: '' });
    const manifest = await manifestOf('falconsai-nsfw@1');
    expect(manifest).toMatchObject({ category: 'safety-classifier', license: 'Apache-2.0' });
    // Every probability reaches a threshold of 0.
    const { settings } = JSON.parse(`{${safety.json[1]!}}`);
    const file = join(folder, 'data/models/falconsai-nsfw@1/manifest.json');
    await writeFile(file, JSON.stringify({ ...manifest, settings: { ...settings, threshold: 0 } }));
    expect((await edit(safety.commands[0]!, 'pink.png')).stdout).toMatch(/ · unsafe content\n$/);
  });

  it('shows a manifest of the bundled classifier with settings of its own', async () => {
    const copy = join(folder, 'data/models/stricter');
    await cp(join(root, 'model/classifiers/nsfw'), copy, { recursive: true });
    await writeFile(join(copy, 'manifest.json'), safety.json[2]!);
    const alias = { RETOUCH: '--alias retouch:nsfw@1=me:stricter@1' };
    const command = safety.commands[0]!.replace(' -o ', ` ${alias.RETOUCH} -o `);
    expect((await edit(command, 'pink.png')).stdout).toMatch(/ · no unsafe content found\n$/);
  });
});
