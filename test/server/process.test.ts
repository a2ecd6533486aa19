import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const children: ChildProcessWithoutNullStreams[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-process-'));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

function start(...flags: string[]) {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    RETOUCH_PORT: '0',
    RETOUCH_DATA_DIR: join(folder, 'data'),
  };
  const child = spawn(process.execPath, [program, 'serve', ...flags], { env });
  children.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => (output.stdout += text));
  child.stderr.on('data', (text) => (output.stderr += text));
  return { child, output, exit: once(child, 'close') };
}

async function address(output: { stdout: string }): Promise<string> {
  const line = /^Retouch listening on (http:\/\/127\.0\.0\.1:\d+)\n$/;
  await expect.poll(() => output.stdout, { timeout: 20_000 }).toMatch(line);
  return line.exec(output.stdout)![1]!;
}

describe('retouch serve', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'says where it listens, answers, and ends with status 0 on %s',
    async (signal) => {
      const { child, output, exit } = start();
      const health = await fetch(`${await address(output)}/health`);
      expect(await health.json()).toMatchObject({ status: 'ok', engine: { state: 'idle' } });
      child.kill(signal);
      expect(await exit).toEqual([0, null]);
    },
    30_000,
  );

  it('says so when its port is taken', async () => {
    const port = new URL(await address(start().output)).port;
    const { output, exit } = start('--port', port, '--data-dir', join(folder, 'other'));
    expect(await exit).toEqual([1, null]);
    expect(output.stderr).toContain(`port ${port}, failed: another program listens there`);
  }, 30_000);

  it('does not start for other machines without keys', async () => {
    const { output, exit } = start('--host', '0.0.0.0');
    const [status] = await exit;
    expect(status).not.toBe(0);
    expect(output.stderr).toContain('RETOUCH_API_KEYS');
  }, 30_000);
});
