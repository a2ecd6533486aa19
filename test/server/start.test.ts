import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { startServer } from '../../src/server/start.ts';
import { temporaryFolder } from './fixture.ts';

const start = (folder: string, flags: Record<string, string> = {}) =>
  startServer(
    loadConfig({ env: {}, flags: { 'data-dir': folder, 'log-level': 'error', port: '0', ...flags } }),
  );

/** No server listens at this port. */
const noRedis = { redis: 'redis://127.0.0.1:1' };

describe('the start of a server', () => {
  it('ends before it reaches the fleet if another server uses the data directory', async () => {
    await using folder = await temporaryFolder();
    const first = await start(folder.path);
    try {
      await expect(start(folder.path, noRedis)).rejects.toMatchObject({ code: 'dataDirectoryInUse' });
    } finally {
      await first.close();
    }
  });

  it('releases the data directory when it fails at Redis', async () => {
    await using folder = await temporaryFolder();
    await expect(start(folder.path, noRedis)).rejects.toMatchObject({ code: 'redisUnreachable' });
    await (await start(folder.path)).close();
  });

  it('releases the data directory when it fails for a missing key or a port in use', async () => {
    await using folder = await temporaryFolder();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const port = String((taken.address() as { port: number }).port);
    await expect(start(folder.path, { host: '0.0.0.0' })).rejects.toMatchObject({ code: 'keysRequired' });
    await expect(start(folder.path, { port })).rejects.toMatchObject({ code: 'listenFailed' });
    await (await start(folder.path)).close();
    taken.close();
  });
});
