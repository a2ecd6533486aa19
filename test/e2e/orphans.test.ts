/** However the process that started the server ends, the server ends too and leaves no process behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

vi.setConfig({ testTimeout: 120_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = join(root, 'bin', 'retouch.js');

/** Makes bin/retouch.js believe that its Node is too old, so that it starts another one. */
const oldNode = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.0.0' } })`;

const starts: Record<string, readonly [string, ...string[]]> = {
  'npm start': ['npm', 'start', '--'],
  'an older Node': [process.execPath, '--import', oldNode, program, 'serve'],
};

let folder: string;
let starter: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-orphans-'));
});

afterEach(async () => {
  starter?.kill('SIGKILL');
  for (const { pid } of await processes()) process.kill(pid, 'SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

const signals = ['SIGTERM', 'SIGHUP', 'SIGKILL'] as const;
const cases = Object.keys(starts).flatMap((name) => signals.map((signal) => [name, signal] as const));

it.each(cases)('a server started by %s ends after %s to that process alone', async (name, signal) => {
  const [file, ...words] = starts[name]!;
  const { PATH, HOME } = process.env;
  starter = spawn(file, [...words, '--port', '0', '--data-dir', folder], {
    cwd: root,
    env: { PATH, HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [starter.stdout!, starter.stderr!]) stream.on('data', (text) => (output += text));
  await vi.waitUntil(() => output.includes('Retouch listening on'), { timeout: 60_000 });
  // The starter is one of them: the server is another process, or there would be nothing to show.
  expect((await processes()).length).toBeGreaterThan(1);

  starter.kill(signal);
  await once(starter, 'exit');
  await expect.poll(processes, { timeout: 60_000 }).toEqual([]);
  expect(output).toContain('finishing what is under way');
});

/** Processes with the data directory among their arguments. */
async function processes(): Promise<{ pid: number; command: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const all = pids.map(async (pid) => {
    // Gone between the two looks, or ended and not yet waited for.
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return { pid, command: command.replaceAll('\0', ' ') };
  });
  return (await Promise.all(all)).filter(({ command }) => command.includes(folder));
}
