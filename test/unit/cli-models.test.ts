import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { add } from '../../src/cli/commands/models-add.ts';
import { removalOf, remove } from '../../src/cli/commands/models-remove.ts';
import { readTarget } from '../../src/cli/commands/pull.ts';
import { findFiles } from '../../src/cli/models/model-files.ts';
import { selectFiles } from '../../src/cli/models/repository-files.ts';
import { BytesProgress } from '../../src/cli/terminal/bytes-progress.ts';
import { describeInstalled, formatTable } from '../../src/cli/terminal/models-table.ts';
import type { HubFile, HubRepository } from '../../src/store/hub.ts';
import { ModelStore } from '../../src/store/models.ts';
import { writeIpAdapter, writeLora, writePipeline, writeSingleFiles } from '../fixtures/model-files.ts';
import { f32, writeSafetensors } from '../fixtures/write-safetensors.ts';

let folder: string;
const at = (...names: string[]) => join(folder, ...names);
const models = () => at('models');
const scan = () => ModelStore.scan({ models: models(), cache: at('cache') });
const license = 'MIT';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-cli-models-'));
  await mkdir(at('single'));
  await writePipeline(at('whole'));
  await writeSingleFiles(at('single'));
  writeLora(at('ink.safetensors'));
  await writeIpAdapter(at('style.safetensors'), at('encoder'));
  writeSafetensors(at('unknown.safetensors'), { something: f32([1]) });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const singles = ['ae', 'clip_l', 't5xxl', 'flux'].map((name) => `${name}.safetensors`);
const parts = () => [...singles, 'tokenizer', 'tokenizer_2'].map((name) => at('single', name));

describe('files', () => {
  it('are known by their tensors, in any order', async () => {
    expect(await findFiles(parts())).toEqual({
      category: 'checkpoint',
      layout: 'split',
      files: {
        transformer: at('single/flux.safetensors'),
        autoencoder: at('single/ae.safetensors'),
        clip: at('single/clip_l.safetensors'),
        t5: at('single/t5xxl.safetensors'),
        tokenizer: at('single/tokenizer'),
        tokenizer2: at('single/tokenizer_2'),
      },
    });
    expect(await findFiles([at('whole')])).toEqual({
      category: 'checkpoint',
      layout: 'diffusers',
      folder: at('whole'),
    });
    expect(await findFiles([at('ink.safetensors')])).toEqual({
      category: 'lora',
      files: { weights: at('ink.safetensors') },
    });
    expect(await findFiles([at('encoder'), at('style.safetensors')])).toEqual({
      category: 'ip-adapter',
      files: { adapter: at('style.safetensors'), imageEncoder: at('encoder') },
    });
  });

  it('of a folder are those in it, unless two are of one kind', async () => {
    await expect(findFiles([at('single')])).rejects.toMatchObject({
      code: 'modelFilesUnknown',
      message: expect.stringMatching(/flux\.gguf and .*flux\.safetensors are both a transformer/),
    });
    await cp(at('single'), at('mixed'), { recursive: true });
    await rm(at('mixed/flux.safetensors'));
    expect(await findFiles([at('mixed')])).toMatchObject({ files: { transformer: at('mixed/flux.gguf') } });
  });

  it.each<[string, () => string[], string, RegExp]>([
    [
      'of nothing known',
      () => [at('unknown.safetensors')],
      'modelFilesUnknown',
      /1 tensors \(something, …\)/,
    ],
    ['that are not there', () => [at('none')], 'modelFileMissing', /no file or folder .*none/],
    ['that lack a part', () => parts().slice(1), 'modelFilesMissing', /missing autoencoder\..*--base AIR/],
    [
      'of an IP-Adapter alone',
      () => [at('style.safetensors')],
      'modelFilesMissing',
      /needs an image encoder/,
    ],
  ])('%s are an error that says so', async (_, paths, code, message) => {
    await expect(findFiles(paths())).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('that are no LoRA are not added as one', async () => {
    await expect(findFiles([at('whole/vae')], { category: 'lora' })).rejects.toMatchObject({
      message: expect.stringContaining('holds autoencoder'),
    });
    await expect(findFiles([at('ink.safetensors')], { category: 'picture' })).rejects.toMatchObject({
      code: 'flagInvalid',
    });
  });

  it('of a model and of an adapter together are refused', async () => {
    for (const path of ['ink.safetensors', 'style.safetensors'])
      await expect(findFiles([...parts(), at('encoder'), at(path)])).rejects.toMatchObject({
        code: 'modelFilesUnknown',
        message: expect.stringMatching(
          /is a(n IP-Adapter| LoRA), and .*flux\.safetensors \(transformer\).*one after the other/,
        ),
      });
  });

  it('of layers without the ends of a LoRA are none', async () => {
    await mkdir(at('shards'));
    for (const name of ['half.safetensors', 'shards/model-00002-of-00002.safetensors'])
      writeSafetensors(at(name), {
        'transformer_blocks.1.attn.to_q.weight': f32([1], [1, 1]),
        'double_blocks.0.img_attn.norm.query_norm.scale': f32([1]),
      });
    await expect(findFiles([at('half.safetensors')])).rejects.toMatchObject({
      code: 'modelFilesUnknown',
      message: expect.stringContaining('of no network, LoRA or IP-Adapter known here'),
    });
    await expect(findFiles([at('shards/model-00002-of-00002.safetensors')])).rejects.toMatchObject({
      code: 'modelFileMissing',
      message: expect.stringContaining('is part 2 of 2'),
    });
    writeSafetensors(at('empty.safetensors'), {});
    await expect(findFiles([at('empty.safetensors')])).rejects.toMatchObject({
      code: 'modelFilesUnknown',
      message: expect.stringContaining('has no tensors'),
    });
    writeSafetensors(at('svdq.safetensors'), {
      'transformer_blocks.0.qkv_proj.qweight': f32([1]),
      'transformer_blocks.0.qkv_proj.wscales': f32([1]),
    });
    await expect(findFiles([at('svdq.safetensors')])).rejects.toMatchObject({
      code: 'dtypeUnsupported',
      message: expect.stringContaining('SVDQuant (nunchaku)'),
    });
    writeSafetensors(at('other-lora.safetensors'), {
      'unet.down_blocks.0.x.lora_A.weight': f32([1], [1, 1]),
      'model.layers.0.lora_A.weight': f32([1], [1, 1]),
      'lora_unet_x.lora_down.weight': f32([1], [1, 1]),
    });
    await expect(findFiles([at('other-lora.safetensors')])).rejects.toMatchObject({ code: 'loraUnknown' });
  });

  it('of a LoRA with tensors that no model uses are refused by their names', async () => {
    const query = 'transformer.transformer_blocks.0.attn.to_q';
    const pair = {
      [`${query}.lora_A.weight`]: f32([1], [1, 1]),
      [`${query}.lora_B.weight`]: f32([1], [1, 1]),
    };
    for (const [extra, words] of [
      ['bundle_emb.word.clip_l', 'embeddings of new words that OneTrainer bundles (bundle_emb.word.clip_l)'],
      [`${query}.oft_blocks`, 'OFT, which rotates weights'],
      [`${query}.diff`, 'differences of whole weights'],
      [`${query}.modules_to_save.weight`, 'whole layers (modules_to_save)'],
    ] as const) {
      writeSafetensors(at('odd-lora.safetensors'), { ...pair, [extra]: f32([1], [1, 1]) });
      await expect(findFiles([at('odd-lora.safetensors')])).rejects.toMatchObject({
        code: 'loraRefused',
        message: expect.stringContaining(words),
      });
    }
    const layer = 'lycoris_transformer_blocks_0_attn_to_q';
    writeSafetensors(at('dokr.safetensors'), {
      [`${layer}.lokr_w1`]: f32([1], [1, 1]),
      [`${layer}.lokr_w2`]: f32([1], [1, 1]),
      [`${layer}.dora_scale`]: f32([1], [1, 1]),
    });
    await expect(findFiles([at('dokr.safetensors')])).rejects.toMatchObject({
      code: 'loraRefused',
      message: expect.stringContaining('LoKr factors and magnitudes (DoRA) together'),
    });
  });

  it('of a detector are taken at their word', async () => {
    await writeFile(at('yolo.onnx'), '');
    expect(await findFiles([at('yolo.onnx')], { category: 'face-detector' })).toEqual({
      category: 'face-detector',
      files: { weights: at('yolo.onnx') },
    });
  });
});

describe('a model', () => {
  const addTo = async (paths: string[], options: Parameters<typeof add>[1]) =>
    add(paths, options, { store: await scan(), modelsDir: models() });

  it('is added where it is, found by the store, and its licence read from its card', async () => {
    await addTo([at('whole')], { air: 'me:whole@1', name: 'Whole' });
    const model = (await scan()).find('me:whole@1')!;
    expect(model).toMatchObject({ license: 'tests-only', source: { files: { folder: at('whole') } } });
  });

  it('is copied when that is asked for, an all-in-one file once', async () => {
    const { folder: own } = await addTo(parts(), { air: 'me:copy@1', license, copy: true });
    expect((await readdir(own)).filter((name) => !name.startsWith('.')).sort()).toEqual([
      'autoencoder.safetensors',
      'clip.safetensors',
      'manifest.json',
      't5.safetensors',
      'tokenizer',
      'tokenizer2',
      'transformer.safetensors',
    ]);
    const model = (await scan()).find('me:copy@1')!;
    expect(model.name).toBe('flux');
    expect(model.source.files).toMatchObject({ transformer: join(own, 'transformer.safetensors') });
    const whole = await addTo([at('whole')], { air: 'me:whole-copy@1', copy: true });
    expect(JSON.parse(await readFile(join(whole.folder, 'manifest.json'), 'utf8')).files).toBe('.');
    expect(existsSync(join(whole.folder, 'transformer/config.json'))).toBe(true);
  });

  it('that is a LoRA of PEFT is copied with the file that its scale is in', async () => {
    await mkdir(at('peft'));
    writeLora(at('peft/adapter_model.safetensors'));
    await writeFile(at('peft/adapter_config.json'), '{"lora_alpha":32}');
    for (const [i, path] of ['peft', 'peft/adapter_model.safetensors'].entries()) {
      const { folder: own } = await addTo([at(path)], { air: `me:peft@${i}`, license, copy: true });
      const lora = (await scan()).findAdapter('lora', `me:peft@${i}`)!;
      expect(lora.files.weights).toBe(join(own, 'adapter_model.safetensors'));
      expect(JSON.parse(await readFile(join(own, 'adapter_config.json'), 'utf8'))).toEqual({
        lora_alpha: 32,
      });
    }
  });

  it('takes what it lacks from another', async () => {
    await addTo([at('single/flux.gguf')], { air: 'me:gguf@1', license, base: 'me:whole-copy@1' });
    expect((await scan()).find('me:gguf@1')!.source.files).toMatchObject({
      transformer: at('single/flux.gguf'),
      autoencoder: at('models/me-whole-copy@1/vae'),
    });
    await expect(addTo([at('single/flux.gguf')], { license, base: 'no:body@1' })).rejects.toMatchObject({
      code: 'flagInvalid',
      message: expect.stringContaining("'no:body@1', which is not installed"),
    });
  });

  it('that is damaged, unlicensed or installed already is not added', async () => {
    const before = await readdir(models());
    await cp(at('whole'), at('damaged'), { recursive: true });
    const vae = at('damaged/vae/diffusion_pytorch_model.safetensors');
    await writeFile(vae, (await readFile(vae)).subarray(0, 1000));
    await expect(addTo([at('damaged')], { air: 'me:damaged@1' })).rejects.toMatchObject({
      code: 'checkpointTruncated',
    });
    await expect(addTo([at('ink.safetensors')], {})).rejects.toMatchObject({
      code: 'argumentMissing',
      message: expect.stringContaining('--license'),
    });
    await expect(addTo([at('ink.safetensors')], { air: 'me:whole@1', license })).rejects.toMatchObject({
      code: 'modelInstalled',
    });
    expect(await readdir(models())).toEqual(before);
  });

  it('is listed with its size, in columns', async () => {
    await addTo([at('ink.safetensors')], { name: 'Ink drawings', license });
    const rows = await describeInstalled(await scan());
    expect(rows.find(({ air }) => air === 'local:ink-drawings@1')).toMatchObject({
      category: 'lora',
      architecture: 'flux-dev',
      bytes: (await readFile(at('ink.safetensors'))).length,
    });
    const lines = formatTable(rows).split('\n');
    const column = lines[0]!.indexOf('LICENSE');
    expect(lines.slice(1).every((line) => line[column - 1] === ' ' && line[column] !== ' ')).toBe(true);
  });

  it('is removed with its folder and nothing else, unless it is needed or not there', async () => {
    const store = await scan();
    await expect(removalOf(store, 'me:whole-copy@1', models())).rejects.toMatchObject({
      code: 'modelInUse',
      message: expect.stringContaining('me:gguf@1'),
    });
    await expect(removalOf(store, 'retouch:mini@1', models())).rejects.toMatchObject({ code: 'modelInUse' });
    await expect(removalOf(store, 'no:body@1', models())).rejects.toMatchObject({ code: 'modelUnknown' });
    await remove(await removalOf(store, 'me:copy@1', models()));
    await remove(await removalOf(store, 'me:gguf@1', models()));
    expect((await scan()).find('me:copy@1')).toBeUndefined();
    expect(existsSync(at('single/flux.gguf'))).toBe(true);
  });

  it('that is a link is removed as a link', async () => {
    await symlink(at('models/me-whole-copy@1'), at('elsewhere'));
    await cp(at('models/me-whole-copy@1'), at('linked'), { recursive: true });
    const manifest = JSON.parse(await readFile(at('linked/manifest.json'), 'utf8'));
    await writeFile(at('linked/manifest.json'), JSON.stringify({ ...manifest, air: 'me:linked@1' }));
    await symlink(at('linked'), at('models/linked'));
    await remove(await removalOf(await scan(), 'me:linked@1', models()));
    expect(existsSync(at('models/linked'))).toBe(false);
    expect(existsSync(at('linked/manifest.json'))).toBe(true);
  });
});

describe('of a repository', () => {
  const file = (path: string, size = 10): HubFile => ({ path, size, hash: { algorithm: 'sha256', hex: '' } });
  const repository = (...paths: string[]): HubRepository => ({
    name: 'some/model',
    commit: '',
    license: undefined,
    files: paths.map((path) => file(path)),
  });

  it('a pipeline’s files are taken, without variants, other formats and pictures', () => {
    const wanted = [
      'LICENSE.md',
      'model_index.json',
      'tokenizer/merges.txt',
      'transformer/config.json',
      'transformer/diffusion_pytorch_model-00001-of-00002.safetensors',
      'transformer/diffusion_pytorch_model.safetensors.index.json',
      'vae/diffusion_pytorch_model.safetensors',
    ];
    const others = [
      'ae.safetensors',
      'flux1-kontext-dev.safetensors',
      'teaser.png',
      'text_encoder/model.onnx',
      'transformer/old/model.safetensors',
      'vae/diffusion_pytorch_model.fp16.safetensors',
      'vae/diffusion_pytorch_model.bin',
    ];
    const selected = selectFiles(repository(...wanted, ...others), []);
    expect(selected.map(({ path }) => path).sort()).toEqual([...wanted].sort());
  });

  it('the only file of weights, or those that are named', () => {
    const one = repository('README.md', 'lora.safetensors', 'preview.png');
    expect(selectFiles(one, []).map(({ path }) => path)).toEqual(['README.md', 'lora.safetensors']);
    const peft = repository(
      'adapter_config.json',
      'adapter_model.safetensors',
      'x/adapter_config.json',
      'x/adapter_model.safetensors',
    );
    expect(selectFiles(peft, ['x/adapter_model.safetensors']).map(({ path }) => path)).toEqual([
      'x/adapter_model.safetensors',
      'x/adapter_config.json',
    ]);
    const two = repository('a.gguf', 'b.gguf');
    expect(selectFiles(two, ['b.gguf']).map(({ path }) => path)).toEqual(['b.gguf']);
    expect(() => selectFiles(two, [])).toThrow('it has a.gguf (10 bytes), b.gguf (10 bytes)');
    expect(() => selectFiles(two, ['c.gguf'])).toThrow('some/model has no file c.gguf');
  });

  it('the name is an id that is known, or owner, name and revision', () => {
    expect(readTarget('runware:106@1')).toMatchObject({ repository: 'black-forest-labs/FLUX.1-Kontext-dev' });
    expect(readTarget('black-forest-labs/FLUX.1-Kontext-dev')).toMatchObject({ air: 'runware:106@1' });
    expect(readTarget('me/x@v2')).toEqual({
      repository: 'me/x',
      revision: 'v2',
      air: 'hf:me:x@v2',
      known: undefined,
    });
    expect(() => readTarget('x')).toThrow('is neither');
  });
});

describe('the progress of a download', () => {
  const MiB = 2 ** 20;

  it('tells rate and time left of the last seconds, and what came before is no speed', () => {
    let now = 0;
    const written: string[] = [];
    const progress = new BytesProgress(
      { write: (text) => written.push(text) },
      { label: 'Downloading', total: 100 * MiB },
      () => now,
    );
    progress.report('old.safetensors', 40 * MiB);
    progress.report('new.safetensors', 0);
    for (now = 1000; now <= 20_000; now += 1000) progress.report('new.safetensors', (now / 1000) * MiB);
    expect(progress.describe()).toBe('60.0 MiB of 100.0 MiB · 1.0 MiB/s · 40 s left · new.safetensors');
    // A log gets a line at once, and then one in ten seconds.
    expect(written).toHaveLength(3);
    expect(written.every((line) => line.startsWith('Downloading: ') && line.endsWith('\n'))).toBe(true);
  });

  it('has a rate when reports are further apart than the seconds that it looks at', () => {
    let now = 0;
    const progress = new BytesProgress(
      { write: () => {} },
      { label: 'Converting', total: 100 * MiB },
      () => now,
    );
    for (now = 0; now <= 60_000; now += 30_000) progress.report('T5', (now / 1000) * MiB);
    expect(progress.describe()).toBe('60.0 MiB of 100.0 MiB · 1.0 MiB/s · 40 s left · T5');
  });

  it('is one line of a terminal, no wider than it', () => {
    let now = 0;
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text), isTTY: true, columns: 60 };
    const progress = new BytesProgress(stream, { label: 'Downloading', total: 4 * MiB }, () => now);
    for (now = 0; now < 1000; now += 200)
      progress.report('a/very/long/name/of/a/file.safetensors', (now / 1000) * MiB);
    const lines = written.map((text) => text.replace('\r\x1b[K', ''));
    expect(lines.at(-1)).toMatch(/^Downloading {2}█+░+ {2}819\.2 KiB of 4\.0 MiB/);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(60);
    progress.end();
    expect(written.at(-1)).toBe('\r\x1b[K');
  });
});
