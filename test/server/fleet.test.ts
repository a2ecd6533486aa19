import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan } from '../../src/engine/plan.ts';
import { Catalog } from '../../src/fleet/catalog.ts';
import { fingerprint } from '../../src/fleet/fingerprint.ts';
import { queueName, versionOf } from '../../src/fleet/job-queues.ts';
import { needsOf, packPlan, unpackPlan } from '../../src/fleet/portable-plan.ts';
import { describeRedis, readRedisUrl } from '../../src/fleet/redis-url.ts';
import { ModelStore } from '../../src/store/models.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { createBench, task } from './fixture.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-fleet-'));
});

afterAll(() => rm(folder, { recursive: true }));

describe('the address of Redis', () => {
  it.each([
    ['redis://127.0.0.1', { host: '127.0.0.1', port: 6379, db: 0, tls: false }],
    ['rediss://r.example:6380/2', { host: 'r.example', port: 6380, db: 2, tls: true }],
    ['redis://:p%40ss@h', { host: 'h', port: 6379, db: 0, tls: false, password: 'p@ss' }],
    [
      'redis://user:pw@[::1]:7',
      { host: '::1', port: 7, db: 0, tls: false, username: 'user', password: 'pw' },
    ],
    [
      'redis+sentinel://:pw@a,b:27000/main/1',
      {
        ...{ db: 1, tls: false, password: 'pw', name: 'main' },
        sentinels: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 27000 },
        ],
      },
    ],
  ])('%s is read', (text, expected) => {
    expect(readRedisUrl(text)).toEqual(expected);
    expect(describeRedis(readRedisUrl(text)!)).not.toMatch(/pw|p@ss|user/);
  });

  it.each([
    'http://h',
    'redis://',
    'redis://h:0',
    'redis://h:99999',
    'redis://a,b',
    'redis://h/x',
    'redis://h/1/2',
    'redis+sentinel://a,b',
    'redis://h name',
  ])('%s is refused', (text) => expect(readRedisUrl(text)).toBeUndefined());
});

describe('a fingerprint', () => {
  const write = async (name: string, bytes: Uint8Array) => {
    const path = join(folder, name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, bytes);
    return path;
  };

  it('is that of the names below a folder and of the bytes, wherever the folder lies', async () => {
    for (const root of ['one', 'two']) {
      await write(`${root}/transformer/weights`, new Uint8Array([1, 2, 3]));
      await write(`${root}/config`, new Uint8Array([4]));
      await write(`${root}/.retouch/${root}`, new Uint8Array([Math.random() * 256]));
    }
    const [one, two] = await Promise.all(['one', 'two'].map((root) => fingerprint([join(folder, root)])));
    expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(two).toBe(one);
    await write('two/config', new Uint8Array([5]));
    expect(await fingerprint([join(folder, 'two')])).not.toBe(one);
  });

  it('of a large file changes with its size, its start, its end and with weights all over', async () => {
    const bytes = new Uint8Array(5_000_000).map((_, index) => index * 31);
    const base = await fingerprint([await write('a/large', bytes)]);
    expect(await fingerprint([await write('b/large', bytes)])).toBe(base);
    const changed = [
      bytes.subarray(0, -1),
      bytes.map((value, index) => (index === 0 ? value + 1 : value)),
      bytes.map((value, index) => (index === bytes.length - 1 ? value + 1 : value)),
      bytes.map((value, index) => (index % 1000 === 0 ? value + 1 : value)),
    ];
    for (const other of changed) expect(await fingerprint([await write('c/large', other)])).not.toBe(base);
  });

  it('is undefined where a file is missing', async () => {
    expect(await fingerprint([join(folder, 'nothing')])).toBeUndefined();
  });
});

describe('a plan on its way to another machine', () => {
  /** A machine with a checkpoint, a LoRA, an IP-Adapter and a detector in a folder of its own. */
  async function machine(name: string): Promise<{ catalog: Catalog; plan: Plan }> {
    const root = join(folder, name);
    const adapters = {
      'test:lora@1': { weights: 'lora.safetensors' },
      'test:ip@1': { adapter: 'ip.safetensors', imageEncoder: 'encoder' },
      'test:faces@1': { weights: 'faces.onnx' },
    };
    await mkdir(root, { recursive: true });
    for (const file of ['model', ...Object.values(adapters).flatMap((files) => Object.values(files))])
      await writeFile(join(root, file), `the bytes of ${file}`);
    const source = {
      air: 'test:model@1',
      files: { layout: 'diffusers' as const, folder: join(root, 'model') },
      cacheFolder: join(root, 'cache'),
    };
    const store = {
      models: [{ air: source.air, category: 'checkpoint', files: source.files, source }],
      adapters: Object.entries(adapters).map(([air, files]) => ({
        air,
        files: Object.fromEntries(Object.entries(files).map(([role, file]) => [role, join(root, file)])),
      })),
    } as unknown as ModelStore;
    const detector = {
      air: 'test:faces@1',
      architecture: 'ultralytics',
      files: { weights: join(root, 'faces.onnx') },
      settings: { threshold: 0.5 },
    };
    const plan = scriptedPlan('a red fox', {
      model: source,
      references: [new Uint8Array([1, 2, 3])],
      // As the client named it: an alias.
      loras: [{ air: 'other:name@1', file: join(root, 'lora.safetensors'), weight: -0, stage: 'both' }],
      ipAdapters: [
        {
          ...{ air: 'test:ip@1', file: join(root, 'ip.safetensors'), imageEncoder: join(root, 'encoder') },
          ...{ guides: [new Uint8Array([9])], faceDetector: detector, combineMethod: 'concat' },
          ...{ weight: 1, weightType: 'normal', weightComposition: 1, embedScaling: 'only_v' },
        } as Plan['ipAdapters'][number],
      ],
      faces: {
        ...{ detector, confidence: 0.5, maskPadding: 4, maskBlur: 4, prompt: '', negativePrompt: '' },
        ...{ steps: 4, guidance: 1, strength: 0.4 },
      },
      safety: detector,
    });
    return { catalog: await Catalog.of(store), plan };
  }

  it('names no path of the first machine, and becomes the plan of the second, down to −0 and the bytes', async () => {
    const [here, there] = [await machine('front'), await machine('worker')];
    const bytes = packPlan(here.plan, here.catalog);
    expect(Buffer.from(bytes).toString('latin1')).not.toContain(folder);
    expect(unpackPlan(bytes, there.catalog)).toEqual(there.plan);
    expect(Object.is(unpackPlan(bytes, there.catalog).loras[0]!.weight, -0)).toBe(true);
  });

  it('needs its model first, then each adapter once, by the installed id and the fingerprint of its files', async () => {
    const { catalog, plan } = await machine('needs');
    const needs = needsOf(plan, catalog);
    expect(needs.map(({ air }) => air)).toEqual(['test:model@1', 'test:faces@1', 'test:ip@1', 'test:lora@1']);
    for (const { hash } of needs) expect(hash).toMatch(/^[0-9a-f]{16}$/);
    const other = await machine('other-needs');
    expect(needsOf(other.plan, other.catalog)).toEqual(needs);
    await writeFile(join(folder, 'other-needs', 'lora.safetensors'), 'another LoRA');
    expect(catalog.need('test:lora@1')).not.toEqual(
      (
        await Catalog.of({
          models: [],
          adapters: [
            {
              air: 'test:lora@1',
              category: 'lora',
              files: { weights: join(folder, 'other-needs', 'lora.safetensors') },
            },
          ],
        } as unknown as ModelStore)
      ).need('test:lora@1'),
    );
  });

  it('goes to a queue of its version and needs', async () => {
    const { catalog, plan } = await machine('queue');
    const needs = needsOf(plan, catalog);
    expect(queueName('1', needs)).toBe(queueName('1', [...needs]));
    expect(queueName('2', needs)).not.toBe(queueName('1', needs));
    expect(versionOf(queueName('1.0.0-beta', needs))).toBe('1.0.0-beta');
    expect(queueName('1', needs.slice(1))).not.toBe(queueName('1', needs));
  });

  it('is refused where a file of it is missing', async () => {
    const here = await machine('lacking');
    const empty = await Catalog.of({ models: [], adapters: [] } as unknown as ModelStore);
    const bytes = packPlan(here.plan, here.catalog);
    expect(() => unpackPlan(bytes, empty)).toThrow(expect.objectContaining({ code: 'workerLacksModel' }));
    expect(() => packPlan(here.plan, empty)).toThrow(expect.objectContaining({ code: 'workerLacksModel' }));
  });
});

it('the installed models have fingerprints', async () => {
  const store = await ModelStore.scan({ models: join(folder, 'none'), cache: folder });
  const catalog = await Catalog.of(store);
  expect(catalog.have.map(({ air }) => air)).toEqual(
    [...store.models, ...store.adapters].map(({ air }) => air),
  );
});

it('a task that no engine can make is refused at once, with the reason', async () => {
  const bench = await createBench();
  bench.engine.refusal = () => 'No worker has retouch:mini@1.';
  const { status, body } = await bench.post([task]);
  await bench.close();
  expect([status, body.error?.code, body.error?.message]).toEqual([
    503,
    'serverUnavailable',
    'No worker has retouch:mini@1.',
  ]);
});
