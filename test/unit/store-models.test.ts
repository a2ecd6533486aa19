import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelStore } from '../../src/store/models.ts';

const manifest = {
  air: 'retouch:mini@1',
  name: 'Retouch mini',
  architecture: 'flux-kontext',
  files: '.',
  defaults: { steps: 28, guidance: 2.5 },
  license: 'Apache-2.0',
};
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'retouch-models-'));
  await install('embedded', manifest);
});

afterEach(() => rm(root, { recursive: true }));

async function install(name: string, content: unknown): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, 'manifest.json'),
    typeof content === 'string' ? content : JSON.stringify(content),
  );
  return folder;
}

function scan(aliases: Record<string, string> = {}): Promise<ModelStore> {
  const folders = {
    models: join(root, 'models'),
    cache: join(root, 'cache'),
    embedded: join(root, 'embedded'),
  };
  return ModelStore.scan({ ...folders, aliases });
}

describe('the model store', () => {
  it('has the embedded model even without a models directory', async () => {
    const store = await scan();
    const folder = join(root, 'embedded');
    expect(store.problems).toEqual([]);
    expect(store.find('retouch:mini@1')).toMatchObject({
      name: 'Retouch mini',
      defaults: { steps: 28, guidance: 2.5 },
      source: {
        air: 'retouch:mini@1',
        files: { layout: 'diffusers', folder },
        cacheFolder: join(folder, '.retouch'),
      },
    });
  });

  it('finds an adapter by its category and never as a model', async () => {
    const lora = { category: 'lora', air: 'me:ink@1', name: 'Ink', files: 'ink.safetensors', license: 'MIT' };
    const about = { version: '2', tags: ['drawing'], comment: 'Ink on paper.' };
    const folder = await install('models/ink', { ...lora, ...about, architecture: 'flux-kontext' });
    const store = await scan();
    expect(store.problems).toEqual([]);
    expect(store.find('me:ink@1')).toBeUndefined();
    expect(store.findAdapter('ip-adapter', 'me:ink@1')).toBeUndefined();
    expect(store.findAdapter('lora', 'me:ink@1')).toEqual({
      ...lora,
      architecture: 'flux-kontext',
      files: { weights: join(folder, 'ink.safetensors') },
      settings: {},
      about,
      folder,
    });
  });

  it.each([{ tags: 'drawing' }, { tags: [1] }, { version: 2 }, { comment: [] }])(
    'has no use for a manifest that says %j',
    async (about) => {
      const lora = {
        category: 'lora',
        air: 'me:ink@1',
        name: 'Ink',
        files: 'ink.safetensors',
        license: 'MIT',
      };
      await install('models/ink', { ...lora, ...about });
      expect((await scan()).problems).toEqual([expect.stringContaining("'tags' a list of strings")]);
    },
  );

  it('has the adapters that come with the embedded model, and prefers them to others of the same id', async () => {
    const lora = {
      category: 'lora',
      air: 'retouch:ink@1',
      name: 'Ink',
      files: 'ink.safetensors',
      license: 'MIT',
    };
    const folder = await install('embedded/adapters/ink', lora);
    await install('models/ink', { ...lora, name: 'Another' });
    const store = await scan();
    expect(store.findAdapter('lora', 'retouch:ink@1')).toMatchObject({ name: 'Ink', folder });
    expect(store.problems).toEqual([expect.stringContaining('retouch:ink@1 is already installed in')]);
  });

  it('says why an adapter cannot be used, and what there is instead', async () => {
    const lora = { category: 'lora', name: 'Ink', files: 'ink.safetensors', license: 'MIT' };
    await install('models/ink', { ...lora, air: 'me:ink@1', architecture: 'flux-dev' });
    await install('models/other', { ...lora, air: 'me:other@1', architecture: 'sdxl' });
    await install('models/open', { ...lora, air: 'me:open@1' });
    const store = await scan();
    const explain = (air: string) => store.explainAdapter('lora', air, 'retouch:mini@1');
    // FLUX.1 [dev] and Kontext have the same layers.
    expect(explain('me:ink@1')).toBeUndefined();
    expect(explain('me:open@1')).toBeUndefined();
    expect(explain('me:other@1')).toEqual({
      fault: 'unsuitable',
      message: "The LoRA 'me:other@1' is made for sdxl; the model retouch:mini@1 is flux-kontext.",
    });
    const missing = explain('me:pen@1');
    expect(missing?.fault).toBe('missing');
    expect(missing?.message).toContain(
      "The LoRA 'me:pen@1' is not installed. Installed: me:ink@1 (Ink), me:open@1 (Ink)",
    );
    expect(missing?.message).toContain('docs/guide/lora.md');
  });

  it('names the categories when a manifest has another', async () => {
    await install('models/odd', { ...manifest, air: 'me:odd@1', category: 'vae' });
    const [problem] = (await scan()).problems;
    expect(problem).toContain(`'category' is "vae", expected one of checkpoint, lora, ip-adapter`);
  });

  it('finds a model of single files, with paths from its folder', async () => {
    const files = {
      transformer: 'flux.safetensors',
      autoencoder: 'ae.safetensors',
      clip: '/shared/clip.safetensors',
      t5: 't5.safetensors',
      tokenizer: 'clip.json',
      tokenizer2: 't5.json',
    };
    const folder = await install('models/kontext', { ...manifest, air: 'runware:106@1', files });
    expect((await scan()).find('runware:106@1')?.source.files).toMatchObject({
      layout: 'split',
      transformer: join(folder, 'flux.safetensors'),
      clip: '/shared/clip.safetensors',
    });
  });

  it('answers for an alias, and says when its model is not there', async () => {
    const store = await scan({ 'runware:106@1': 'retouch:mini@1', 'a:1@1': 'b:1@1' });
    expect(store.find('runware:106@1')?.air).toBe('retouch:mini@1');
    expect(store.find('a:1@1')).toBeUndefined();
    expect(store.problems).toEqual(['The alias a:1@1 stands for b:1@1, which is not installed.']);
    expect(store.explainMissing('a:1@1')).toContain("an alias of 'b:1@1'");
  });

  it('tells what is installed and how to get FLUX.1 Kontext', async () => {
    const store = await scan();
    expect(store.explainMissing('no:1@1')).toBe(
      "The model 'no:1@1' is not installed. Installed: retouch:mini@1 (Retouch mini).",
    );
    const message = store.explainMissing('runware:106@1');
    expect(message).toContain("'retouch pull runware:106@1' installs");
    expect(message).toContain('--alias runware:106@1=retouch:mini@1');
  });

  it.each<[fault: string, content: unknown, said: string]>([
    ['not JSON', '{', 'it is not a JSON object'],
    ['without a name', { ...manifest, name: undefined }, "'name' is undefined, expected a string"],
    ['without defaults', { ...manifest, defaults: undefined }, "'defaults' is missing"],
    ['with odd steps', { ...manifest, defaults: { steps: '28', guidance: 1 } }, `'defaults.steps' is "28"`],
    ['with half of the files', { ...manifest, files: { transformer: 'a' } }, "'files' must be"],
    ['with a guidance that is none', { ...manifest, guidance: { max: 'high' } }, "'guidance' must be"],
    [
      'with a guidance that is upside down',
      { ...manifest, guidance: { min: 8, max: 7 } },
      "'guidance' must be",
    ],
    ['with sizes that are none', { ...manifest, sizes: [[1024]] }, "'sizes' must be"],
    ['with a price below 0', { ...manifest, price: { perImage: -1 } }, "'price' must be"],
    ['with two prices', { ...manifest, price: { perImage: 1, perSecond: 1 } }, "'price' must be"],
    ['with a price of nothing', { ...manifest, price: {} }, "'price' must be"],
    ['with a misspelt price', { ...manifest, price: { perImage: 1, step: 20 } }, "'price' must be"],
    ['of a model that is installed already', manifest, 'is already installed in'],
  ])('passes over a manifest %s and says so', async (_, content, said) => {
    await install('models/odd', content);
    const store = await scan();
    expect(store.models).toHaveLength(1);
    expect(store.problems).toEqual([expect.stringContaining(said)]);
  });

  it.each([
    [{ perImage: 0.0105 }, { perImage: 0.0105, of: { width: 1024, height: 1024, steps: 28 } }],
    [
      { perImage: 1, width: 512, height: 256, steps: 4 },
      { perImage: 1, of: { width: 512, height: 256, steps: 4 } },
    ],
    [{ perSecond: 0.001 }, { perSecond: 0.001 }],
    [undefined, undefined],
  ])('reads the price %j', async (price, expected) => {
    await install('models/priced', { ...manifest, air: 'me:priced@1', price });
    expect((await scan()).find('me:priced@1')?.price).toEqual(expected);
  });

  it('says so when a folder has no manifest', async () => {
    await mkdir(join(root, 'models', 'empty'), { recursive: true });
    expect((await scan()).problems).toEqual([expect.stringContaining('it cannot be read (ENOENT)')]);
  });
});
