import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodeImage, probeImage } from '../../src/engine/image/image-codec.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const script = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
let folder: string;
let photo: string;

function start(...words: string[]): ChildProcess {
  const env = { PATH: process.env.PATH, RETOUCH_DATA_DIR: folder };
  return spawn(process.execPath, [script, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function finish(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => (stdout += chunk));
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

/** A white square on blue, 3:2. */
async function drawPhoto(): Promise<Uint8Array> {
  const [width, height] = [96, 64];
  const inSquare = (x: number, y: number) => x > 30 && x < 60 && y > 20 && y < 50;
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return inSquare(pixel % width, Math.floor(pixel / width)) ? 255 : [30, 60, 200][i % 3]!;
  });
  return (await encodeImage({ width, height, data }, 'png', 95)).bytes;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-e2e-'));
  photo = join(folder, 'photo.png');
  await writeFile(photo, await drawPhoto());
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('an edit in the terminal', () => {
  it('by the short form draws beside the picture, and the same seed draws the same bytes elsewhere', async () => {
    const short = await finish(
      start(photo, 'make the background green', '--steps', '2', '--seed', '9007199254740993'),
    );
    expect(short.stderr).toContain('step 1 of 2');
    expect(short.code).toBe(0);
    const result = join(folder, 'photo.retouch.png');
    expect(short.stdout).toMatch(
      /photo\.retouch\.png · 1248×832 · retouch:mini@1 · seed 9007199254740993 · [\d.]+ s\n$/,
    );
    const bytes = await readFile(result);
    expect(await probeImage(bytes)).toEqual({ width: 1248, height: 832, format: 'png' });

    const other = join(folder, 'other.png');
    const words = [
      'make the background green',
      '-o',
      other,
      '--steps=2',
      '--seed=9007199254740993',
      '--preview=1',
      '-q',
    ];
    const long = await finish(start('edit', photo, ...words));
    expect(long.stderr).toBe('');
    expect(Buffer.compare(await readFile(other), bytes)).toBe(0);
    expect((await readdir(folder)).filter((name) => name.startsWith('other.preview'))).toHaveLength(1);

    const again = await finish(start(photo, 'make the background green', '--steps', '2'));
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(
      'photo.retouch.png exists; --force overwrites it, -o chooses another name.',
    );
  });

  it('that is interrupted says so and writes nothing', async () => {
    const output = join(folder, 'never.png');
    const child = start('edit', photo, 'make it red', '-o', output, '--steps', '50');
    child.stderr?.on('data', (chunk) => {
      if (String(chunk).includes('Editing')) child.kill('SIGINT');
    });
    const { code, stdout, stderr } = await finish(child);
    expect(stderr).toContain('Stopped; nothing was written.');
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect((await readdir(folder)).filter((name) => name.includes('never'))).toEqual([]);
  });
});
