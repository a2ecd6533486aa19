/** The package as npm packs it, installed into an empty folder: its command, its library and its types. */

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { probeImage } from '../../src/engine/image/image-codec.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const scene = 'node_modules/retouch/examples/scene-car.png';

let folder: string;
let packed: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-package-'));
  await run('npm', ['run', 'build'], root);
  // Without `prepare`, which builds the playground again while other tests read it.
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [tarball] = JSON.parse((await run('npm', pack, root)).stdout);
  packed = tarball.files.map(({ path }: { path: string }) => path);
  const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const types = ['typescript', '@types/node'].map((name) => `${name}@${devDependencies[name]}`);
  await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }');
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...flags, `./${tarball.filename}`, ...types]);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** In the folder that has the package installed. Rejects with the output when the program fails. */
async function run(file: string, words: readonly string[], cwd = folder) {
  // The environment has what npm needs here: proxies, certificates, another registry.
  const env = { ...process.env, RETOUCH_DATA_DIR: join(folder, 'data') };
  return promisify(execFile)(file, words, { cwd, env, maxBuffer: 2 ** 26 });
}

it('holds what runs and nothing else', () => {
  const expected = /^(dist\/.+\.(js|d\.ts)|web\/dist\/.+|bin\/retouch\.js|examples\/scene-(car|house)\.png)$/;
  const ofModel = /^model\/(?!training|conversion|\.retouch).+(\.json|\.safetensors|LICENSE)$/;
  expect(packed).toContain('web/dist/index.html');
  const others = packed.filter((path) => !expected.test(path) && !ofModel.test(path));
  expect(others.toSorted()).toEqual(['LICENSE', 'README.md', 'package.json']);
});

it('says its version', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  expect((await run('npx', ['retouch', '--version'])).stdout).toBe(`${version}\n`);
});

it('finds nothing wrong with its installation', async () => {
  expect((await run('npx', ['retouch', 'doctor', '--port', '0'])).stdout).toContain('Retouch can work here.');
});

it('edits a picture with the embedded model', async () => {
  await run('npx', ['retouch', 'edit', scene, 'make it night', '--steps', '1', '-o', 'edited.png']);
  expect(await probeImage(await readFile(join(folder, 'edited.png')))).toMatchObject({
    width: 1024,
    height: 1024,
  });
});

it('runs the example of the library', async () => {
  await copyFile(join(root, 'examples', 'library.ts'), join(folder, 'library.ts'));
  const { stdout } = await run(process.execPath, ['library.ts', scene, 'make it night', 'library.png']);
  expect(stdout).toContain('step 8 of 8');
  expect(await probeImage(await readFile(join(folder, 'library.png')))).toMatchObject({ width: 1024 });
});

it('declares types that compile under strict without skipLibCheck', async () => {
  await copyFile(join(root, 'examples', 'library.ts'), join(folder, 'library.ts'));
  const server = `import { type Config, loadConfig, startServer } from 'retouch/server';
    import * as both from 'retouch';
    const config: Config = loadConfig({ env: {} });
    export const address: Promise<string> = startServer(config).then(({ url }) => url);
    export const host: both.EngineHost = new both.EngineHost();
    // @ts-expect-error: the port is a number.
    config.port satisfies string;`;
  await writeFile(join(folder, 'server.ts'), server);
  const options = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    'false',
    '--module',
    'nodenext',
    '--types',
    'node',
  ];
  const library = ['--target', 'es2024', '--lib', 'es2024,esnext.disposable'];
  const { stdout } = await run('npx', ['tsc', ...options, ...library, 'library.ts', 'server.ts']).catch(
    (error) => error,
  );
  expect(stdout).toBe('');
});

it('serves a library that starts a server', async () => {
  const script = `import { loadConfig, startServer } from 'retouch/server';
    const server = await startServer(loadConfig({ env: process.env, flags: { port: '0', 'log-level': 'error' } }));
    console.log((await fetch(server.url + '/health')).status);
    await server.close();`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
  expect(stdout).toBe('200\n');
});

it('tells an older Node what to do in a project that installed it', async () => {
  const old = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.0.0' } })`;
  const program = join(folder, 'node_modules', 'retouch', 'bin', 'retouch.js');
  const { stderr } = await run(process.execPath, ['--import', old, program]).catch((error) => error);
  expect(stderr).toContain('Retouch needs Node 24 or newer; this is Node 20.0.0');
  expect(stderr).toMatch(/add it to this project with 'npm install node-[a-z0-9-]+@2[46]'/);
});
