/** No process of the product sends data to another host, or writes a file outside its configured folders. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { lacks } from '../fixtures/programs.ts';
import { ServerProcess } from './server-process.ts';

vi.setConfig({ testTimeout: 300_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const scene = fileURLToPath(new URL('../../examples/scene-car.png', import.meta.url));
const session = new URL('../../src/engine/onnx/session.ts', import.meta.url);

let folder: string;
let home: string;
let temporary: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-privacy-'));
  home = join(folder, 'home');
  temporary = join(folder, 'temporary');
  await Promise.all([mkdir(home), mkdir(temporary)]);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** Environment of a process whose home and temporary folders are empty. */
function environment(): Record<string, string> {
  const { PATH = '' } = process.env;
  return { PATH, HOME: home, TMPDIR: temporary, RETOUCH_DATA_DIR: join(folder, 'data') };
}

const editWords = () => [
  program,
  ...['edit', scene, 'turn the red car blue', '--steps', '1', '-o', join(folder, 'out.png')],
];

async function run(file: string, words: readonly string[]): Promise<void> {
  const child = spawn(file, words, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${file} ${words.join(' ')} ended with ${code}: ${output}`);
}

/** Files and folders in the home and temporary folders. */
async function leftovers(): Promise<string[]> {
  const lists = await Promise.all([home, temporary].map((path) => readdir(path, { recursive: true })));
  return lists.flat();
}

it('an edit leaves nothing in the home and temporary folders', async () => {
  await run(process.execPath, editWords());
  expect(await readdir(folder)).toContain('out.png');
  expect(await leftovers()).toEqual([]);
});

it('a server that has made an image leaves nothing in the home and temporary folders', async () => {
  const server = await ServerProcess.start({ dataDir: join(folder, 'data'), env: environment() });
  await server.draw({ steps: 1 });
  await server.stop();
  expect(await leftovers()).toEqual([]);
});

it.skipIf(lacks('strace'))('an edit opens no socket that reaches beyond this machine', async () => {
  const trace = join(folder, 'trace');
  const calls = 'trace=socket,socketpair,connect';
  await run('strace', ['-f', '-qq', '-e', calls, '-o', trace, process.execPath, ...editWords()]);
  const lines = (await readFile(trace, 'utf8')).split('\n');
  // The command line and its engine talk over a pair of sockets: a trace without one has missed the processes.
  expect(lines.filter((line) => line.includes('socketpair(AF_UNIX'))).not.toEqual([]);
  expect(lines.filter((line) => /AF_(?!UNIX|NETLINK)/.test(line))).toEqual([]);
});

it('the engine is not loaded in a worker thread that cannot switch the telemetry off', async () => {
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
  const worker = new Worker(`import(${JSON.stringify(session.href)})`, { eval: true, env });
  const [error] = await Promise.race([once(worker, 'error'), once(worker, 'exit')]);
  expect(error.message).toContain('set ORT_DISABLE_TELEMETRY=1 in the environment of the process');
});
