/** The commands of docs/guide/ip-adapters.md, in a folder laid out as the guide says. */
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { decodeImage, encodeImage, probeImage } from '../../src/engine/image/image-codec.ts';
import { meanColour, sceneCar } from '../fixtures/colours.ts';
import { guideEnvironment } from '../fixtures/guide.ts';
import { clipEncoder, clipFeatures, writeXlabs } from '../fixtures/ip-adapter-files.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
let folder: string;
let guide: string;
let environment: NodeJS.ProcessEnv;

const blocks = (language: string) =>
  [...guide.matchAll(/```(\w*)\n([\s\S]*?)```/g)]
    .filter(([, name]) => name === language)
    .map(([, , text]) => text!);
const command = (start: string) =>
  blocks('sh')
    .find((text) => text.startsWith(start))!
    .trim();

async function draw(name: string, colour: number[]): Promise<void> {
  const [width, height] = [60, 40];
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]! - (i % 97));
  await writeFile(join(folder, name), (await encodeImage({ width, height, data }, 'png', 95)).bytes);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-guide-'));
  guide = await readFile(join(root, 'docs/guide/ip-adapters.md'), 'utf8');
  const style = join(folder, 'data/models/my-style');
  await mkdir(join(style, 'image_encoder'), { recursive: true });
  await writeFile(join(style, 'manifest.json'), blocks('json').find((text) => text.includes('"category"'))!);
  const config = JSON.parse(await readFile(join(root, 'model/transformer/config.json'), 'utf8'));
  writeXlabs(join(style, 'ip_adapter.safetensors'), {
    depth: config.num_layers,
    depthSingle: config.num_single_layers,
    hidden: config.num_attention_heads * config.attention_head_dim,
    features: clipFeatures,
  });
  await copyFile(clipEncoder, join(style, 'image_encoder/model.safetensors'));
  await writeFile(join(style, 'image_encoder/config.json'), '{"num_attention_heads": 4}');
  await draw('photo.png', [200, 180, 250]);
  await draw('sunset.png', [250, 140, 100]);
  await copyFile(join(root, 'examples/scene-car.png'), join(folder, 'scene.png'));
  await copyFile(join(root, 'examples/evening.png'), join(folder, 'evening.png'));
  environment = await guideEnvironment(folder);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

it('every command of the guide is one of those run here', () => {
  expect(blocks('sh').map((text) => text.split(' ').slice(0, 2).join(' '))).toEqual([
    'retouch edit',
    'retouch edit',
    'retouch serve',
  ]);
});

it('the edit is guided by the picture', async () => {
  // Fewer steps than the guide's, and the same seed twice.
  const edit = `${command('retouch edit')} --steps 1 --seed 5`;
  const options = { cwd: folder, env: environment };
  const { stdout } = await run('sh', ['-c', edit], options);
  expect(stdout).toContain('autumn.png');
  const guided = await readFile(join(folder, 'autumn.png'));
  expect(await probeImage(guided)).toMatchObject({ width: 1248, height: 832 });
  const without = edit.replace(/--ip-adapter \S+ /, '');
  expect(without).not.toBe(edit);
  await run('sh', ['-c', without], options);
  expect(guided.equals(await readFile(join(folder, 'autumn.png')))).toBe(false);
});

it("the embedded model's own adapter takes the place of the guide picture, and the edit is made", async () => {
  const edit = blocks('sh').find((text) => text.includes('retouch:mood@1'))!;
  await run('sh', ['-c', edit], { cwd: folder, env: environment });
  const mood = await decodeImage(await readFile(join(folder, 'mood.png')));
  // Sand at sunset, where the scene has grass by day.
  const [red, green, blue] = meanColour(mood, sceneCar.ground);
  for (const [found, expected] of [
    [red, 224],
    [green, 164],
    [blue, 110],
  ] as const)
    expect(Math.abs(found - expected)).toBeLessThan(25);
  const [carRed, , carBlue] = meanColour(mood, sceneCar.car);
  expect(carBlue).toBeGreaterThan(carRed + 60);
});

it('an edit whose guide is wrong says so in words of the command line', async () => {
  const edit = (flag: string) =>
    run('sh', ['-c', `retouch edit photo.png "make it look like autumn" --ip-adapter ${flag} -o x.png`], {
      cwd: folder,
      env: environment,
    });
  await expect(edit('me:style@1')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('expected an AIR and pictures, such as'),
  });
  await expect(edit('me:style@1:5=sunset.png')).rejects.toMatchObject({
    stderr: expect.stringMatching(/--ip-adapter.*found 5/),
  });
  await expect(edit('me:style@1=none.png')).rejects.toMatchObject({
    stderr: expect.stringContaining('none.png'),
  });
  await expect(edit('runware:55@1=sunset.png')).rejects.toMatchObject({
    stderr: expect.stringContaining("SDXL's UNet"),
  });
});

it('the server answers for an id of Runware’s list with the adapter it is bound to', async () => {
  const server = spawn('sh', ['-c', `exec ${command('retouch serve')} --port 0`], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let said = '';
      const listen = (chunk: Buffer) => {
        said += chunk;
        const [found] = said.match(/http:\/\/127\.0\.0\.1:\d+/) ?? [];
        if (found) resolve(found);
      };
      server.stdout.on('data', listen);
      server.stderr.on('data', listen);
      server.once('close', () => reject(new Error(said)));
    });
    const guideImages = [(await readFile(join(folder, 'sunset.png'))).toString('base64')];
    const ask = async (model: string) => {
      const task = {
        taskType: 'imageInference',
        taskUUID: crypto.randomUUID(),
        model: 'retouch:mini@1',
        positivePrompt: 'a red house',
        width: 1024,
        height: 1024,
        steps: 1,
        ipAdapters: [{ model, guideImages }],
      };
      const response = await fetch(`${url}/v1`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify([task]),
      });
      return { status: response.status, body: await response.json() };
    };
    expect(await ask('runware:55@1')).toMatchObject({
      status: 200,
      body: { data: [{ taskType: 'imageInference' }] },
    });
    expect(await ask('runware:55@5')).toMatchObject({
      status: 400,
      body: { errors: [{ code: 'unsupportedIpAdaptersModel', parameter: 'ipAdapters.model' }] },
    });
  } finally {
    server.kill('SIGTERM');
    await new Promise((resolve) => server.once('close', resolve));
  }
});
