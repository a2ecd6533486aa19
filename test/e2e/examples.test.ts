import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { decodeImage } from '../../src/engine/image/image-codec.ts';

vi.setConfig({ testTimeout: 300_000 });

const examples = fileURLToPath(new URL('../../examples', import.meta.url));
const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const commands = [
  ...(await readFile(join(examples, 'README.md'), 'utf8')).matchAll(/^npx retouch (edit .* -o (\S+) .*)$/gm),
].map(([, command, output]) => ({ command: command!, output: output! }));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-examples-'));
  await mkdir(join(folder, 'examples'));
  await cp(examples, join(folder, 'examples'), { recursive: true, filter: (path) => !path.endsWith('.jpg') });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

it.each(commands)('$command makes the picture that is shown', async ({ command, output }) => {
  const env = { PATH: process.env.PATH, HOME: folder, RETOUCH_DATA_DIR: join(folder, 'data') };
  await promisify(execFile)('bash', ['-c', `"${process.execPath}" "${program}" ${command}`], {
    cwd: folder,
    env,
  });
  const [made, shown] = await Promise.all(
    [join(folder, output), join(examples, '..', output)].map(async (path) =>
      decodeImage(await readFile(path)),
    ),
  );
  expect(made).toMatchObject({ width: shown!.width, height: shown!.height });
  // Another processor sums in another order, and JPEG rounds the result.
  const differences = made!.data.map((value, i) => Math.abs(value - shown!.data[i]!));
  expect(differences.reduce((a, b) => a + b, 0) / differences.length).toBeLessThan(1);
});
