import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBench, task } from './fixture.ts';

const script = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const ping = { taskType: 'ping' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'retouch-keys-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function retouch(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env.PATH, RETOUCH_DATA_DIR: folder };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...words], { env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

describe('retouch keys', () => {
  it('makes a key that is nowhere on the disk, lists it without showing it, and revokes it', async () => {
    const { code, stdout: key, stderr } = await retouch('keys', 'add', 'laptop');
    expect([code, key]).toEqual([0, expect.stringMatching(/^rt_[\w-]{43}\n$/)]);
    expect(stderr).toContain('not shown again');
    const database = readFileSync(join(folder, 'retouch.db'), 'latin1');
    expect(database).toContain('laptop');
    expect(database).not.toContain(key.trim());
    const listed = await retouch('keys', 'list');
    expect(listed.stdout).toMatch(/^name +made +last used\nlaptop +\d{4}-\d\d-\d\dT\d\d:\d\d +never\n$/);
    expect((await retouch('keys', 'revoke', 'laptop')).code).toBe(0);
    expect((await retouch('keys', 'list')).stdout).toContain('There is no key');
  });

  it.each([
    [['keys'], 2, 'add, list or revoke'],
    [['keys', 'make', 'x'], 2, "'make'"],
    [['keys', 'add'], 2, 'needs the name'],
    [['keys', 'add', 'a b'], 2, "cannot be 'a b'"],
    [['keys', 'list', 'x'], 2, "'x'"],
    [['keys', 'revoke', 'phone'], 1, "no key named 'phone'; there is none"],
  ])('%j ends with %i and says why', async (words, code, message) => {
    const result = await retouch(...words);
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(message)]);
  });

  it('takes a name once', async () => {
    await retouch('keys', 'add', 'laptop');
    expect(await retouch('keys', 'add', 'laptop')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("a key named 'laptop' already"),
    });
  });
});

describe('a server', () => {
  it('on another address does not start without a key', async () => {
    const refused = await retouch('serve', '--host', '0.0.0.0', '--port', '0');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('retouch keys add NAME') });
  });

  it('asks everyone for a key as soon as there is one, and takes it until it is revoked', async () => {
    const bench = await createBench();
    try {
      expect((await bench.post([ping])).status).toBe(200);
      const { key } = bench.keys.add('laptop');
      expect((await bench.post([ping])).body.error?.code).toBe('missingApiKey');
      const headers = { authorization: `Bearer ${key}` };
      expect((await bench.post([ping], headers)).status).toBe(200);
      expect((await bench.post([{ taskType: 'authentication', apiKey: key }, ping])).status).toBe(200);
      expect(bench.keys.list()[0]?.used).toBeGreaterThan(Date.now() - 60_000);
      bench.keys.revoke('laptop');
      // The last key is gone, and this machine may come in again.
      expect((await bench.post([ping])).status).toBe(200);
      bench.keys.add('phone');
      expect((await bench.post([ping], headers)).body.error?.code).toBe('invalidApiKey');
    } finally {
      await bench.close();
    }
  });

  it('answers a request that waits for its images, although its key is revoked meanwhile', async () => {
    const bench = await createBench({ 'api-keys': 'other' });
    try {
      const headers = { authorization: `Bearer ${bench.keys.add('laptop').key}` };
      bench.engine.script = async () => void bench.keys.revoke('laptop');
      expect((await bench.post([task], headers)).status).toBe(200);
      expect((await bench.post([ping], headers)).body.error?.code).toBe('invalidApiKey');
    } finally {
      await bench.close();
    }
  });

  it('beyond this machine stays closed when its last key is revoked', async () => {
    const bench = await createBench({ host: '0.0.0.0' });
    try {
      expect((await bench.post([ping])).body.error?.code).toBe('missingApiKey');
      expect((await bench.post([ping], { authorization: 'Bearer x' })).body.error?.code).toBe(
        'invalidApiKey',
      );
      expect((await bench.server.inject('/metrics')).statusCode).toBe(401);
      expect((await bench.server.inject('/health')).statusCode).toBe(200);
    } finally {
      await bench.close();
    }
  });
});
