import { resolve } from 'node:path';
import { expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config.ts';

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  // Its behaviour for a user without HOME and without an entry in the user database.
  homedir: () => {
    throw new Error('A system error occurred: uv_os_homedir returned ENOENT (no such file or directory)');
  },
}));

it('a user without a home directory is told to name a data directory', () => {
  expect(() => loadConfig({ env: {} })).toThrow(
    expect.objectContaining({
      code: 'homeMissing',
      message: expect.stringContaining('set RETOUCH_DATA_DIR'),
    }),
  );
});

it('a user without a home directory needs nothing but a data directory', () => {
  expect(loadConfig({ env: { RETOUCH_DATA_DIR: 'data' } }).dataDir).toBe(resolve('data'));
});
