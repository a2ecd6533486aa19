import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { formatBytes } from '../../src/bytes.ts';
import { formatFinding } from '../../src/cli/commands/doctor.ts';
import { checkDataFolder, checkMemory, checkNode, checkPort } from '../../src/cli/commands/doctor-checks.ts';
import { loadConfig } from '../../src/config.ts';
import { defaultMemoryLimit } from '../../src/engine/process/limits.ts';

const GiB = 2 ** 30;

it('an old Node is a problem, with both versions', () => {
  expect(checkNode('20.20.2')).toEqual({
    level: 'problem',
    name: 'Node',
    text: '20.20.2; expected 24 or newer',
  });
  expect(checkNode('24.0.0').level).toBe('good');
});

it('a taken port is a warning: it may be the server itself', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const finding = await checkPort(loadConfig({ env: {}, flags: { port: String(port) } }));
  other.close();
  expect(finding).toEqual({ level: 'warning', name: 'Port', text: `127.0.0.1, port ${port}, is in use` });
});

it('a data directory that cannot be made is a problem', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'retouch-doctor-'));
  const good = await checkDataFolder(loadConfig({ env: { RETOUCH_DATA_DIR: folder } }));
  expect(good.level).toBe('good');
  const bad = await checkDataFolder(loadConfig({ env: { RETOUCH_DATA_DIR: '/dev/null/x' } }));
  expect(bad).toMatchObject({ level: 'problem', text: expect.stringContaining('/dev/null/x') });
});

it('a configured memory limit is the one that is told', () => {
  expect(checkMemory(loadConfig({ env: { RETOUCH_MEMORY_LIMIT: '3GB' } })).text).toContain('may use 3.0 GiB');
});

it('a tenth of the memory stays for the system, at least 512 MiB and at most 4 GiB, but never more than half', () => {
  expect([0.5, 1, 20, 128].map((size) => defaultMemoryLimit(size * GiB) / GiB)).toEqual([0.25, 0.5, 18, 124]);
});

it('sizes are told in the largest unit, findings with a mark', () => {
  expect([0, 1023, 1536, 25.5 * 2 ** 20, 3 * 2 ** 40].map(formatBytes)).toEqual([
    '0 bytes',
    '1023 bytes',
    '1.5 KiB',
    '25.5 MiB',
    '3.0 TiB',
  ]);
  expect(formatFinding({ level: 'problem', name: 'Port', text: 'is closed' })).toBe(
    '✗ Port           is closed',
  );
});
