import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { prepare } from '../../src/cli/commands/models-prepare.ts';
import { loadConfig } from '../../src/config.ts';
import { createEngine } from '../../src/engine/index.ts';
import { openComponents } from '../../src/engine/networks/components.ts';
import { conversionsOf } from '../../src/engine/networks/conversions.ts';
import { ModelStore } from '../../src/store/models.ts';
import { pipelineFolder, pipelinePlan } from '../fixtures/plans.ts';

let folder: string;
let printed: string[];

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-prepare-'));
  const model = path.join(folder, 'models', 'tiny');
  fs.mkdirSync(model, { recursive: true });
  const manifest = {
    ...{ air: 'test:tiny@1', name: 'Tiny', architecture: 'flux-kontext', license: 'MIT' },
    ...{ files: pipelineFolder, defaults: { steps: 4, guidance: 2.5 } },
  };
  fs.writeFileSync(path.join(model, 'manifest.json'), JSON.stringify(manifest));
});

afterEach(() => {
  vi.restoreAllMocks();
  syncBuiltinESMExports();
});

afterAll(() => fs.rmSync(folder, { recursive: true }));

async function run(precision: string, words: string[] = ['test:tiny@1']): Promise<number> {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void printed.push(line));
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const config = loadConfig({ env: {}, flags: { 'data-dir': folder, precision } });
  const store = await ModelStore.scan({ models: config.modelsDir, cache: path.join(folder, 'cache') });
  return prepare(words, { json: true }, { store, config });
}

const cacheOf = async () =>
  (await ModelStore.scan({ models: path.join(folder, 'models'), cache: path.join(folder, 'cache') })).find(
    'test:tiny@1',
  )!.source.cacheFolder;

it.each(['int8', 'int4'] as const)(
  'makes the files that a run in %s finds, with the sizes told before',
  async (precision) => {
    expect(await run(precision)).toBe(0);
    const { files, disk } = JSON.parse(printed[0]!);
    expect(files).toHaveLength(3);
    let sum = 0;
    for (const { file, bytes } of files) {
      // The file has a header besides its tensors.
      const size = fs.statSync(file).size;
      expect(size).toBeGreaterThan(bytes);
      expect(size).toBeLessThan(bytes + 100_000);
      sum += bytes;
    }
    expect(disk[precision]).toBe(sum);
    expect(disk.f32).toBe(0);

    const plan = pipelinePlan(await cacheOf(), { steps: 1 });
    const engine = await createEngine({ threads: 1 });
    const messages: string[] = [];
    const numerics = { ...plan.numerics, precision };
    for await (const event of engine.run({ ...plan, numerics }, new AbortController().signal))
      if (event.type === 'stage-progress') messages.push(event.message);
    await engine.release();
    expect(messages).toContain('loading T5');
    expect(messages.filter((message) => message.startsWith('preparing'))).toEqual([]);
  },
);

it('keeps what an interrupted conversion finished, and nothing else', async () => {
  const components = await openComponents(pipelinePlan(folder).model);
  const cache = path.join(folder, 'interrupted');
  const [t5, , transformer] = conversionsOf(components, cache, 'int8');
  for await (const _ of t5!.make(1));
  for await (const { done, total } of transformer!.make(1)) {
    expect(done).toBeLessThan(total);
    break;
  }
  expect(fs.readdirSync(cache)).toEqual(['t5-int8.safetensors']);
  expect(conversionsOf(components, cache, 'int8').map(({ isDone }) => isDone)).toEqual([true, false, false]);
});

it('refuses at once what does not fit on the disk, all files together', async () => {
  fs.rmSync(await cacheOf(), { recursive: true, force: true });
  vi.spyOn(fs.promises, 'statfs').mockResolvedValue({ bavail: 1, bsize: 4096 } as never);
  syncBuiltinESMExports();
  await expect(run('int8')).rejects.toThrow(
    /T5, CLIP, transformer takes .* of disk, and .* has 4\.0 KiB free/,
  );
  expect(fs.readdirSync(await cacheOf())).toEqual([]);
});

it('says which model is meant', async () => {
  await expect(run('int8', [])).rejects.toThrow('needs the AIR of a model');
  await expect(run('int8', ['no:such@1'])).rejects.toThrow("'no:such@1' is not installed");
});
