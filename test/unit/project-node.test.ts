/** The Node that `npm ci` installs beside the project, and what else runs when the project is installed. */

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

type Locked = { version?: string; integrity?: string; hasInstallScript?: boolean; link?: boolean };

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
const lockfile = JSON.parse(await read('package-lock.json')) as { packages: Record<string, Locked> };
const { optionalDependencies } = JSON.parse(await read('scripts/node/package.json'));

describe("the project's Node", () => {
  it.each(Object.entries<string>(optionalDependencies))(
    '%s is locked by its checksum, has no install script, and is found by bin/retouch.js',
    async (name, version) => {
      const locked = lockfile.packages[`node_modules/${name}`]!;
      expect(locked.version).toBe(version);
      expect(locked.integrity).toMatch(/^sha512-/);
      expect(locked.hasInstallScript).toBeUndefined();
      expect(await read('bin/retouch.js')).toContain(`'${name}@${version.split('.')[0]}'`);
    },
  );
});

describe('the lockfile', () => {
  it('has the checksum of every package', () => {
    const unchecked = Object.entries(lockfile.packages).filter(
      ([path, { integrity, link }]) => path.includes('node_modules/') && !link && !integrity,
    );
    expect(unchecked).toEqual([]);
  });

  it('has no install script that npm may run', async () => {
    const { allowScripts } = JSON.parse(await read('package.json'));
    const scripted = Object.entries(lockfile.packages).filter(([, { hasInstallScript }]) => hasInstallScript);
    const names = scripted.map(([path]) => path.replace(/^.*node_modules\//, ''));
    expect(names.filter((name) => allowScripts[name] !== false)).toEqual([]);
  });
});
