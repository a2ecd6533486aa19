import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, vi } from 'vitest';

vi.setConfig({ testTimeout: 60_000 });

const script = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
let folder: string;

type Result = { code: number; stdout: string; stderr: string };

function retouch(...words: string[]): Promise<Result> {
  const env = { PATH: process.env.PATH, RETOUCH_DATA_DIR: folder };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...words], { env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-cli-'));
});

describe('help', () => {
  it('names every command and the short form', async () => {
    const { code, stdout } = await retouch('--help');
    expect(code).toBe(0);
    for (const words of ['retouch photo.jpg "make the sky pink"', 'edit ', 'serve ', 'doctor ']) {
      expect(stdout).toContain(words);
    }
    expect((await retouch()).stdout).toBe(stdout);
  });

  it('of a command lists its flags, and fits a terminal', async () => {
    const { stdout } = await retouch('edit', '--help');
    for (const flag of ['-o, --output FILE', '--model AIR', '--seed N', '--guidance NUMBER', '-h, --help']) {
      expect(stdout).toContain(flag);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    expect((await retouch('help', 'edit')).stdout).toBe(stdout);
  });

  it('of the server names the variables and defaults', async () => {
    const words = (await retouch('serve', '-h')).stdout.replace(/\s+/g, ' ');
    expect(words).toContain(
      '--port PORT Port to listen on; 0 takes any free one. (default 7100; RETOUCH_PORT)',
    );
  });
});

it('--version prints the version of the package', async () => {
  expect((await retouch('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe('a fault of the command line', () => {
  it.each([
    [['edti'], "There is no command 'edti', and it is not the name of a picture. Did you mean edit?"],
    [['serve', '--prot', '80'], 'There is no flag --prot. Did you mean --port?'],
    [['serve', 'now'], "serve takes flags only; found 'now'."],
    [['photo.jpg'], "edit found the picture 'photo.jpg' and no other; expected an instruction as well"],
    [
      ['edit', 'make it blue'],
      "edit found the instruction 'make it blue' and no other; expected a picture as well",
    ],
    [['photo.jpg', 'make it blue', '--stpes', '4'], 'There is no flag --stpes. Did you mean --steps?'],
  ])('%j is exit code 2 and a sentence', async (words, sentence) => {
    const { code, stdout, stderr } = await retouch(...words);
    expect(stderr).toContain(`retouch: ${sentence}`);
    expect(stderr).toContain("--help' says what there is.");
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('before anything is computed, an edit refuses', () => {
  it.each([
    [['none.jpg', 'make it blue'], 'none.jpg cannot be read: there is no such file or folder.'],
    [
      ['package.json', 'make it blue', '-o', 'x.gif'],
      "x.gif has the suffix '.gif', which decides the format",
    ],
    [['edit', 'package.json', 'make it blue', '-o', 'no/such/x.png'], 'its folder no/such gives'],
    [['package.json', 'make it blue'], 'package.json: The image'],
  ])('%j', async (words, sentence) => {
    const { code, stderr } = await retouch(...words);
    expect(stderr).toContain(sentence);
    expect(code).toBe(1);
  });
});
