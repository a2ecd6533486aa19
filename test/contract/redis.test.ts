/** Ways to Redis: TLS and Sentinel. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { checkFleet } from '../../src/cli/commands/doctor-checks.ts';
import { loadConfig } from '../../src/config.ts';
import { openFleet } from '../../src/fleet/open.ts';
import { lacks } from '../fixtures/programs.ts';
import { freePort, hasRedis, RedisProcess } from '../fixtures/redis-process.ts';

vi.setConfig({ testTimeout: 60_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-redis-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(!hasRedis)('a fleet', () => {
  it.skipIf(lacks('openssl'))('reaches Redis over TLS, and trusts only a known authority', async () => {
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const made = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      key,
      '-out',
      certificate,
    ];
    execFileSync('openssl', [...made, ...subject], { stdio: 'ignore' });
    const port = await freePort();
    const words = ['--tls-port', String(port), '--tls-cert-file', certificate, '--tls-key-file', key];
    const redis = await RedisProcess.start(folder, {
      words: [...words, '--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no'],
    });
    try {
      const list = (env: Record<string, string>) =>
        promisify(execFile)(process.execPath, [program, 'workers', '--redis', `rediss://localhost:${port}`], {
          env: { PATH: process.env.PATH, HOME: folder, ...env },
        });
      expect((await list({ NODE_EXTRA_CA_CERTS: certificate })).stdout).toBe('No worker is connected.\n');
      await expect(list({})).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /rediss:\/\/localhost:\d+\/0 cannot be reached within 5 s: .*SELF_SIGNED/,
        ),
      });
    } finally {
      await redis.kill();
    }
  });

  it('asks Sentinels for the master', async () => {
    const master = await RedisProcess.start(folder);
    const config = join(folder, 'sentinel.conf');
    await writeFile(config, `sentinel monitor main 127.0.0.1 ${master.port} 1\n`);
    const sentinel = await RedisProcess.start(folder, { config: [config] });
    try {
      const redis = `redis+sentinel://127.0.0.1:${sentinel.port}/main`;
      const { connection, where } = await openFleet({ redis, redisPrefix: 'x', transferLimit: 1 });
      await connection.redis.set('found', 'the master');
      expect(where).toBe(`${redis}/0`);
      const config = loadConfig({ env: {}, flags: { redis } });
      expect(await checkFleet(config)).toEqual([
        { level: 'warning', name: 'Redis', text: `${redis}/0 answers; 0 workers with 0 engines` },
      ]);
      connection.redis.disconnect();
      const direct = await openFleet({ redis: master.url, redisPrefix: 'x', transferLimit: 1 });
      expect(await direct.connection.redis.get('found')).toBe('the master');
      direct.connection.redis.disconnect();
    } finally {
      await sentinel.kill();
      await master.kill();
    }
  });
});
