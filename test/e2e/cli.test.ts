import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { installModel } from '../fixtures/installed-model.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
let folder: string;
let wide: string;
let tall: string;
let models: string;

type Result = { code: number | null; stdout: string; stderr: string };

async function runProgram(command: string, words: readonly string[]): Promise<Result> {
  const env = { PATH: process.env.PATH, HOME: folder, RETOUCH_DATA_DIR: join(folder, 'data') };
  const child = spawn(command, words, { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

const retouch = (...words: string[]) => runProgram(process.execPath, [program, ...words]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-cli-'));
  models = join(folder, 'models');
  wide = join(folder, 'wide.jpg');
  tall = join(folder, 'tall.webp');
  await writeFile(wide, await drawScene(320, 160, { format: 'jpg' }));
  await writeFile(tall, await drawScene(90, 160, { format: 'webp', background: [200, 60, 60] }));
  await installModel(models, 'test:truncated@1', {
    component: 'vae',
    change: (bytes) => bytes.subarray(0, 1000),
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('an edit', () => {
  it.each([
    ['pink.jpg', 'jpeg', []],
    ['pink.WEBP', 'webp', []],
    ['both.png', 'png', ['tall.webp']],
  ])('to %s writes a %s of the first picture’s shape', async (output, format, more) => {
    const words = [wide, ...more, 'make it pink', '-o', output, '--steps', '1', '--seed', '3'];
    const { code, stdout, stderr } = await retouch('edit', ...words);
    expect({ code, stdout: stdout.replace(/[\d.]+ s\n$/, '') }).toEqual({
      code: 0,
      stdout: `${output} · 1456×720 · retouch:mini@1 · seed 3 · `,
    });
    expect(stderr).toContain('Editing');
    const bytes = await readFile(join(folder, output));
    const { info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    expect([(await sharp(bytes).metadata()).format, info.width, info.height]).toEqual([format, 1456, 720]);
  });

  // From util-linux; other systems have another program of that name.
  it.runIf(process.platform === 'linux' && existsSync('/usr/bin/script'))(
    'shows a bar in a terminal, and leaves only the result',
    async () => {
      const words = [process.execPath, program, 'edit', wide, 'pink', '-o', 'bar.png', '--steps', '2'];
      const quoted = words.map((word) => `'${word}'`).join(' ');
      const { code, stdout } = await runProgram('/usr/bin/script', ['-qec', quoted, '/dev/null']);
      expect(code).toBe(0);
      expect(stdout).toMatch(/█+░+ {2}step 1 of 2 · [\d.]+ s\/it · \d+ s left/);
      // The text after the last erasure of the line stays on the screen.
      const last = stdout.trimEnd().split('\r\x1b[K').at(-1);
      expect(last).toMatch(/^bar\.png · 1456×720 · .+ s$/);
    },
  );

  it.each([
    [['--model', 'test:truncated@1'], 'vae/diffusion_pytorch_model.safetensors has 1000 bytes'],
    [['--memory-limit', '12MB'], 'Not enough memory for the'],
    [['--model', 'test:none@1'], "The model 'test:none@1' is not installed. Installed: retouch:mini@1"],
    [['--width', '1024', '--height', '1000'], 'found 1024x1000, expected one of 1568x672'],
  ])('with %j fails with one sentence and writes nothing', async (flags, sentence) => {
    const words = [wide, 'make it pink', '-o', 'never.png', '-q', '--models-dir', models, ...flags];
    const { code, stdout, stderr } = await retouch('edit', ...words);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^retouch: .+\n$/);
    expect(stderr).toContain(sentence);
    expect(existsSync(join(folder, 'never.png'))).toBe(false);
  });
});

describe('doctor', () => {
  it('tells device, precision, memory and models, and exits with 0 where all is well', async () => {
    const { code, stdout, stderr } = await retouch('doctor');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const line of [
      /^✓ Device cpu .+operators right/m,
      /^✓ Memory .+GiB; engines may use .+GiB/m,
      /^✓ Model .+retouch:mini@1 .+; computed in f32 on cpu$/m,
      /^[✓!] Device webgpu /m,
    ])
      expect(stdout).toMatch(line);
  });

  it('tells what is wrong with a model, and goes on with the sound ones', async () => {
    const { code, stdout } = await retouch('doctor', '--models-dir', models);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^! Model .+test:truncated@1 .+has 1000 bytes, its header promises \d+/m);
    expect(stdout).toMatch(/^✓ Model .+retouch:mini@1/m);
  });
});
