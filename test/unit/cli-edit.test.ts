import { mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { describeResult, readPositionals } from '../../src/cli/commands/edit.ts';
import { makeTask } from '../../src/cli/commands/edit-task.ts';
import { formatOf } from '../../src/cli/flags/formats.ts';
import { checkOutput, defaultOutput, writePicture } from '../../src/cli/flags/images.ts';
import { ModelStore } from '../../src/store/models.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

let folder: string;
let models: ModelStore;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-edit-'));
  const embedded = join(folder, 'model');
  await writePictureFolder(embedded);
  for (const air of ['me:ink@1', 'civitai:12@34'])
    await writeManifest(join(embedded, 'adapters', air.replace(/\W/g, '-')), {
      category: 'lora',
      air,
      name: 'A LoRA',
      files: 'lora.safetensors',
      license: 'MIT',
    });
  models = await ModelStore.scan({ models: join(folder, 'models'), cache: folder, embedded });
});

async function writePictureFolder(path: string): Promise<void> {
  await writeManifest(path, {
    air: 'test:tiny@1',
    name: 'Tiny',
    architecture: 'flux-kontext',
    files: '.',
    defaults: { steps: 4, guidance: 2.5 },
    license: 'Apache-2.0',
  });
}

async function writeManifest(folder: string, manifest: object): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
}

describe('the words of an edit', () => {
  it('are pictures and at the end the instruction', () => {
    expect(readPositionals(['a.png', 'b.jpg', 'put a into b'])).toEqual({
      inputs: ['a.png', 'b.jpg'],
      instruction: 'put a into b',
    });
  });

  it('that were not quoted are refused with an example', () => {
    expect(() => readPositionals(['a.png', 'make', 'the', 'sky', 'pink', 'now'])).toThrow(
      /at most 4. Quote the instr/,
    );
  });
});

describe('the flags of an edit', () => {
  const task = (values: object) =>
    makeTask({ instruction: 'make it blue', format: 'png' }, { model: 'test:tiny@1', ...values }, models);

  it('become a task of the wire, seeds to the last digit', () => {
    expect(
      task({ seed: '9007199254740993', steps: '3', guidance: '2.5', 'true-cfg': '1.5', negative: 'fog' }),
    ).toMatchObject({
      taskType: 'imageInference',
      positivePrompt: 'make it blue',
      outputFormat: 'PNG',
      seed: 9007199254740993n,
      steps: 3,
      CFGScale: 2.5,
      trueCFGScale: 1.5,
      negativePrompt: 'fog',
    });
  });

  it('name LoRAs with a weight and a stage', () => {
    const loras = (...lora: string[]) => task({ lora }).lora;
    expect(loras('me:ink@1', 'me:ink@1:0.5', 'civitai:12@34:-1.25:high')).toEqual(
      [
        { model: 'me:ink@1', weight: 1, transformer: 'both' },
        { model: 'me:ink@1', weight: 0.5, transformer: 'both' },
        { model: 'civitai:12@34', weight: -1.25, transformer: 'high' },
      ].map((lora) => expect.objectContaining(lora)),
    );
  });

  it('are refused by the rules of the wire, in words of the command line', () => {
    expect(() => task({ steps: '0' })).toThrow(/--steps/);
    expect(() => task({ steps: '0' })).toThrow(expect.objectContaining({ code: 'invalidSteps' }));
    expect(() => task({ width: '1024' })).toThrow(/--height.*--width/);
    expect(() => task({ model: 'other:model@1' })).toThrow(
      /'other:model@1' is not installed. Installed: test:tiny@1/,
    );
    expect(() => task({ lora: ['me:pen@1'] })).toThrow(
      /--lora: The LoRA 'me:pen@1' is not installed. Installed: civit/,
    );
    expect(() => task({ lora: ['me:ink@1:5'] })).toThrow(/--lora: found 5, expected a number from -4 to 4/);
    expect(() => task({ lora: ['me:ink@1:much'] })).toThrow("--lora is 'much'; expected a number.");
    expect(() => task({ seed: 'lucky' })).toThrow("--seed is 'lucky'; expected a number.");
    expect(() => makeTask({ instruction: '', format: 'png' }, { model: 'test:tiny@1' }, models)).toThrow(
      /the instruction/,
    );
  });
});

describe('the output', () => {
  it('has its format from its suffix', () => {
    expect(['a.jpg', 'a.JPEG', 'b/a.png', 'a.webp'].map(formatOf)).toEqual(['jpg', 'jpg', 'png', 'webp']);
    expect(() => formatOf('a')).toThrow('a has no suffix, which decides the format');
  });

  it('is by default beside the picture, and a PNG when the picture has no suffix of ours', () => {
    expect(['photo.jpg', 'x/photo.PNG', 'photo.tiff'].map(defaultOutput)).toEqual([
      'photo.retouch.jpg',
      join('x', 'photo.retouch.PNG'),
      'photo.retouch.png',
    ]);
  });

  it('is never the picture itself, by whatever name', async () => {
    const input = join(folder, 'photo.png');
    const link = join(folder, 'link.png');
    await writeFile(input, 'picture');
    await symlink(input, link);
    for (const path of [input, link]) {
      await expect(checkOutput(path, [input], true)).rejects.toThrow(
        /is the picture to edit, which is never overwritten/,
      );
    }
  });

  it('is overwritten only when asked for', async () => {
    const path = join(folder, 'old.png');
    await writeFile(path, 'old');
    await expect(checkOutput(path, [], false)).rejects.toThrow(/exists; --force overwrites it/);
    await checkOutput(path, [], true);
    await expect(checkOutput(join(folder, 'new.png'), [], false)).resolves.toBeUndefined();
  });

  it('is written whole, and a failed write leaves nothing', async () => {
    const path = join(folder, 'result.png');
    await writePicture(path, new Uint8Array([1, 2]));
    expect([...(await readFile(path))]).toEqual([1, 2]);
    await expect(writePicture(join(folder, 'model'), new Uint8Array([1]))).rejects.toThrow(
      /cannot be written/,
    );
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});

it('the result is told with its size, model, seed and seconds', () => {
  const image = { bytes: new Uint8Array(), format: 'png', width: 1024, height: 768 } as const;
  expect(
    describeResult('a.png', image, { plan: scriptedPlan('step'), seed: 42n, milliseconds: 12_345 }),
  ).toBe('a.png · 1024×768 · test:scripted@1 · seed 42 · 12.3 s');
});
