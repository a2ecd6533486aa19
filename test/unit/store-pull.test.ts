import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Hub, type HubFile, type HubOptions, type HubRepository } from '../../src/store/hub.ts';
import { type PullOptions, pull } from '../../src/store/pull.ts';
import { commit, type HubFaults, type HubServer, startHub } from '../fixtures/hub-server.ts';

const name = 'someone/some-model';
const bytes = (length: number, seed: number) =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + seed) % 251));
const files = {
  'LICENSE.md': Buffer.from('Do as you like.'),
  'model_index.json': Buffer.from('{"_class_name": "FluxKontextPipeline"}'),
  'transformer/config.json': Buffer.from('{}'),
  'transformer/model 1.safetensors': bytes(300_000, 1),
  'vae/model.safetensors': bytes(50_000, 2),
};
const large = 'transformer/model 1.safetensors';

let server: HubServer;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-pull-'));
  server = await startHub(
    { [name]: files },
    {
      license: 'other',
      license_name: 'as-you-like',
      license_link: 'LICENSE.md',
    },
  );
});

afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const never = new AbortController().signal;
const hubOf = (options: Partial<HubOptions> = {}) =>
  new Hub({ endpoint: server.url, token: undefined, allowPrivate: true, ...options });

type Pulled = { sizes: Map<string, number[]>; repository: HubRepository };

async function pullAll(
  faults: HubFaults = {},
  options: Partial<PullOptions> = {},
  hubOptions: Partial<HubOptions> = {},
): Promise<Pulled> {
  Object.assign(server.faults, faults);
  const hub = hubOf(hubOptions);
  const repository = await hub.describe(name, 'main', never);
  const sizes = new Map<string, number[]>();
  const onSize = ({ path }: HubFile, size: number) => sizes.set(path, [...(sizes.get(path) ?? []), size]);
  await pull(
    { hub, repository },
    { files: repository.files, folder },
    { signal: never, onSize, pause: 1, ...options },
  );
  return { sizes, repository };
}

const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: { code: string; message: string }) => error,
  );

async function expectAllThere(): Promise<void> {
  for (const [path, content] of Object.entries(files))
    expect((await readFile(join(folder, path))).equals(content), path).toBe(true);
  const names = await readdir(folder, { recursive: true });
  expect(names.filter((found) => found.includes('.partial'))).toEqual([]);
}

const storageAsked = () => server.asked.filter(({ host }) => host === 'storage');

describe('a repository', () => {
  it('is described by commit, licence and files with their hashes, over several pages', async () => {
    const repository = await hubOf().describe(name, 'main', never);
    expect(repository).toMatchObject({ name, commit, license: { name: 'as-you-like', link: 'LICENSE.md' } });
    expect(repository.files.map(({ path }) => path).sort()).toEqual(Object.keys(files).sort());
    const algorithms = Object.fromEntries(repository.files.map(({ path, hash }) => [path, hash.algorithm]));
    expect(algorithms).toMatchObject({ 'model_index.json': 'git-sha1', [large]: 'sha256' });
  });

  it('that is not there is said to be missing, and that a token might help', async () => {
    const error = await failureOf(hubOf().describe('no/body', 'main', never));
    expect(error).toMatchObject({ code: 'hubNotFound', message: expect.stringContaining('HF_TOKEN') });
    expect(await failureOf(hubOf().describe(name, 'v2', never))).toMatchObject({ code: 'hubNotFound' });
  });

  it('with a path that leads out of its folder is refused', async () => {
    await server.close();
    server = await startHub({ [name]: { '../../escape.txt': Buffer.from('x') } });
    expect(await failureOf(hubOf().describe(name, 'main', never))).toMatchObject({ code: 'hubRefused' });
  });

  it('on a private address is reached only where that is allowed', async () => {
    const error = await failureOf(hubOf({ allowPrivate: false }).describe(name, 'main', never));
    expect(error).toMatchObject({ code: 'addressRefused' });
  });
});

describe('a download', () => {
  it('has every file whole, through redirects to another host, which is not told the token', async () => {
    await pullAll({ token: 'secret' }, {}, { token: 'secret' });
    await expectAllThere();
    expect(storageAsked()).toHaveLength(2);
    expect(storageAsked().map(({ token }) => token)).toEqual([undefined, undefined]);
    expect(
      server.asked.filter(({ host }) => host === 'hub').every(({ token }) => token === 'Bearer secret'),
    ).toBe(true);
  });

  it('goes on from where the connection broke, again and again', async () => {
    const { sizes } = await pullAll({ breakAfter: 100_000 });
    await expectAllThere();
    const ranges = storageAsked().filter(({ path }) => path.includes('transformer'));
    expect(ranges[0]!.range).toBeUndefined();
    expect(ranges.filter(({ range }) => /^bytes=[1-9]\d*-$/.test(range ?? '')).length).toBeGreaterThanOrEqual(
      2,
    );
    const grown = sizes.get(large)!;
    expect(grown).toEqual([...grown].sort((a, b) => a - b));
  });

  it('goes on from what an earlier run left', async () => {
    await pullAll();
    await rm(join(folder, large));
    const left = join(folder, `${large}.partial`);
    await writeFile(left, files[large].subarray(0, 70_000));
    const { files: listed } = await hubOf().describe(name, 'main', never);
    const { hash } = listed.find(({ path }) => path === large)!;
    await writeFile(`${left}.json`, JSON.stringify({ hash: hash.hex }));
    server.asked.length = 0;
    await pullAll();
    await expectAllThere();
    expect(storageAsked().map(({ range }) => range)).toEqual(['bytes=70000-']);
  });

  it('begins again when the server does not know ranges', async () => {
    await pullAll({ breakAfter: 100_000, breaks: 1, ignoreRange: true });
    await expectAllThere();
  });

  it('begins again when the beginning is of another file', async () => {
    await pullAll({ breakAfter: 100_000, breaks: 1 }).catch(() => {});
    await rm(join(folder, large));
    await writeFile(join(folder, `${large}.partial`), bytes(1000, 9));
    await writeFile(join(folder, `${large}.partial.json`), '{"hash": "another"}');
    server.asked.length = 0;
    await pullAll();
    await expectAllThere();
    expect(storageAsked()[0]!.range).toBeUndefined();
  });

  it('does not join halves of two states of a file', async () => {
    await pullAll();
    await rm(join(folder, large));
    const { files: listed } = await hubOf().describe(name, 'main', never);
    const { hash } = listed.find(({ path }) => path === large)!;
    await writeFile(join(folder, `${large}.partial`), bytes(1000, 9));
    await writeFile(
      join(folder, `${large}.partial.json`),
      JSON.stringify({ hash: hash.hex, etag: '"older"' }),
    );
    await pullAll();
    await expectAllThere();
  });

  it('tries again when the storage is busy', async () => {
    await pullAll({ failures: [503, 429, 500] });
    await expectAllThere();
  });

  it('gives up when nothing comes, and keeps what it has', async () => {
    const error = await failureOf(pullAll({ failures: Array(20).fill(503) }));
    expect(error).toMatchObject({ code: 'hubRefused', message: expect.stringContaining('503') });
    expect(await stat(join(folder, 'LICENSE.md'))).toBeDefined();
  });

  it.each([large, 'model_index.json'])('of a file with another hash is thrown away: %s', async (path) => {
    const error = await failureOf(pullAll({ wrongHash: path }));
    expect(error).toMatchObject({ code: 'hashMismatch', message: expect.stringContaining(path) });
    expect(error!.message).toMatch(/[0-9a-f]{40}.*expected [0-9a-f]{40}/);
    expect((await readdir(folder, { recursive: true })).filter((found) => found.startsWith(path))).toEqual(
      [],
    );
  });

  it('of gated files says exactly what to do', async () => {
    const without = await failureOf(pullAll({ token: 'secret' }));
    expect(without).toMatchObject({
      code: 'hubGated',
      message: `${name} asks for its terms to be accepted: log in at ${server.url}/${name}, accept them there, make a token that may read at ${server.url}/settings/tokens, and run this again with HF_TOKEN=<token> or --token <token>.`,
    });
    const wrong = await failureOf(pullAll({ token: 'secret' }, {}, { token: 'other' }));
    expect(wrong).toMatchObject({
      code: 'hubGated',
      message: expect.stringContaining('does not accept the token'),
    });
    const refused = await failureOf(pullAll({ token: 'secret', forbidden: true }, {}, { token: 'secret' }));
    expect(refused).toMatchObject({
      code: 'hubGated',
      message: expect.stringContaining('accept the terms at'),
    });
    // Trying again does not help: one question for each file under way.
    expect(server.asked.filter(({ path }) => path.includes('/resolve/')).length).toBeLessThanOrEqual(9);
  });

  it('that the disk has no room for is refused before it begins, and one that is there needs none', async () => {
    const freeBytes = async () => 300 * 2 ** 20;
    await pullAll({}, { freeBytes });
    const full = async () => 0;
    await pullAll({}, { freeBytes: full });
    await rm(join(folder, large));
    server.asked.length = 0;
    expect(await failureOf(pullAll({}, { freeBytes: full }))).toMatchObject({
      code: 'diskFull',
      message: expect.stringContaining('needs 293.0 KiB and 256.0 MiB to spare'),
    });
    expect(storageAsked()).toEqual([]);
  });

  it('stops when told to, and goes on later', async () => {
    const stop = new AbortController();
    const onSize = ({ path }: HubFile, size: number) => {
      if (path === large && size > 0) stop.abort();
    };
    const error = await failureOf(pullAll({ breakAfter: 40_000 }, { signal: stop.signal, onSize }));
    expect(error).toBeDefined();
    expect((await stat(join(folder, `${large}.partial`))).size).toBeGreaterThan(0);
    server.asked.length = 0;
    await pullAll({ breaks: 0 });
    await expectAllThere();
    expect(storageAsked().find(({ path }) => path.includes('transformer'))!.range).toMatch(/^bytes=[1-9]/);
  });
});
