import { existsSync, readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { childEnvironment } from '../../src/child-environment.ts';
import { EngineProcess } from '../../src/engine/process/engine-process.ts';

const secrets = {
  RETOUCH_API_KEYS: 'the-secret-value',
  RETOUCH_WEBHOOK_SECRET: 'the-secret-value',
  HF_TOKEN: 'the-secret-value',
  AWS_SECRET_ACCESS_KEY: 'the-secret-value',
  PGPASSWORD: 'the-secret-value',
  REDIS_URL: 'redis://me:the-secret-value@127.0.0.1:6379',
};

it('a child is given what drivers read, and no credential', () => {
  const kept = {
    PATH: '/bin',
    LD_LIBRARY_PATH: '/opt/cuda',
    VK_DRIVER_FILES: '/icd.json',
    HTTP_PROXY: 'http://x:1',
  };
  expect(childEnvironment({ ...secrets, ...kept })).toEqual({
    ...kept,
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=16777216',
  });
});

it("the operator's settings of malloc stay", () => {
  const kept = { GLIBC_TUNABLES: 'glibc.malloc.arena_max=1' };
  expect(childEnvironment(kept)).toEqual(kept);
});

it.skipIf(!existsSync('/proc/self/environ'))(
  "the engine's process has no key of the server in its environment",
  async () => {
    for (const [name, value] of Object.entries(secrets)) vi.stubEnv(name, value);
    const engine = new EngineProcess({
      module: new URL('../fixtures/scripted-child.ts', import.meta.url),
      threads: 1,
      memoryLimit: 1e9,
      env: {},
      log: () => {},
      stopTimeout: 1000,
      onExit: () => {},
    });
    await engine.ready();
    const environment = readFileSync(`/proc/${engine.pid}/environ`, 'utf8');
    await engine.close();
    vi.unstubAllEnvs();
    expect(environment).toContain('PATH=');
    expect(environment).not.toContain('the-secret-value');
  },
);
