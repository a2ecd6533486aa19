/** Failures of `retouch pull`: its messages, and the files that remain. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type HubFaults, type HubServer, startHub } from '../fixtures/hub-server.ts';
import { pipelineFiles, writeLora } from '../fixtures/model-files.ts';
import { writeGguf } from '../fixtures/write-gguf.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';

vi.setConfig({ testTimeout: 60_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const repository = 'black-forest-labs/FLUX.1-Kontext-dev';
let folder: string;
let hub: HubServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-pull-'));
  writeLora(join(folder, 'ink.safetensors'));
  hub = await startHub({
    'me/ink': { 'ink.safetensors': await readFile(join(folder, 'ink.safetensors')) },
    [repository]: await pipelineFiles(),
    'me/quantised': await quantisedFiles(folder),
    'some/files': { 'a.gguf': Buffer.alloc(3), 'b.gguf': Buffer.alloc(4) },
  });
});

afterEach(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

/** Files of 2 MiB in formats that are not read. */
async function quantisedFiles(where: string): Promise<Record<string, Buffer>> {
  const bytes = new Uint8Array(2 ** 21);
  const name = 'double_blocks.0.img_mod.lin.weight';
  const tensor = (dtype: string, length: number) => ({
    dtype,
    shape: [length],
    bytes: bytes.subarray(0, length),
  });
  writeGguf(join(where, 'kontext-IQ3_S.gguf'), { 'img_in.weight': { type: 21, shape: [256], bytes } });
  writeSafetensors(join(where, 'kontext-nf4.safetensors'), {
    [`${name}.quant_state.bitsandbytes__nf4`]: tensor('U8', 8),
    [name]: tensor('U8', bytes.length),
  });
  writeSafetensors(join(where, 'kontext-nvfp4.safetensors'), {
    [name]: tensor('U8', bytes.length),
    [`${name}_scale`]: tensor('F8_E4M3', 16),
    [`${name}_scale_2`]: { dtype: 'F32', shape: [], bytes: bytes.subarray(0, 4) },
  });
  const names = ['kontext-IQ3_S.gguf', 'kontext-nf4.safetensors', 'kontext-nvfp4.safetensors'];
  return Object.fromEntries(
    await Promise.all(names.map(async (file) => [file, await readFile(join(where, file))])),
  );
}

type Result = { code: number | null; stdout: string; stderr: string };

function start(words: readonly string[]): { child: ChildProcess; result: Promise<Result> } {
  const env = { PATH: process.env.PATH, HOME: folder, RETOUCH_DATA_DIR: folder };
  const child = spawn(process.execPath, [program, ...words, '--endpoint', hub.url], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const result = new Promise<Result>((resolve) =>
    child.once('close', (code) => resolve({ code, stdout, stderr })),
  );
  return { child, result };
}

function pull(faults: HubFaults, ...words: string[]): Promise<Result> {
  Object.assign(hub.faults, faults);
  return start(['pull', ...words]).result;
}

const models = () =>
  readdir(join(folder, 'models')).then((names) => names.filter((name) => !name.startsWith('.')));

describe('a pull', () => {
  it('without a terminal asks for the licence to be accepted by a flag, and shows it', async () => {
    const { code, stderr } = await pull({});
    expect(code).toBe(1);
    expect(stderr).toContain('For tests and nothing else.');
    expect(stderr).toContain('--accept-license');
    expect(hub.asked.filter(({ host }) => host === 'storage')).toEqual([]);
  });

  it('of gated weights says exactly what to do', async () => {
    const { code, stderr } = await pull({ token: 'secret' }, '--accept-license');
    expect(code).toBe(1);
    expect(stderr).toContain(
      `${repository} asks for its terms to be accepted: log in at ${hub.url}/${repository}, accept them there`,
    );
    expect(stderr).toContain('HF_TOKEN=<token> or --token <token>');
    expect(await models()).toEqual([]);
  });

  it('of a file that is not what was announced installs nothing', async () => {
    const { code, stderr } = await pull(
      { wrongHash: 'vae/diffusion_pytorch_model.safetensors' },
      '--accept-license',
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /vae\/diffusion_pytorch_model\.safetensors .*sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/,
    );
    expect(await models()).toEqual([]);
  });

  it('tells how far it is, and refuses what is installed already', async () => {
    const { code, stdout, stderr } = await pull({}, '--accept-license');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `runware:106@1 (FLUX.1 Kontext [dev]) is installed in ${join(folder, 'models/runware-106@1')}.\n`,
    });
    expect(stderr).toMatch(/Downloading: 1\.9 MiB of 1\.9 MiB\n$/);
    const again = await pull({}, '--accept-license');
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("remove it first with 'retouch models remove runware:106@1'");
  });

  it('that is interrupted leaves what it has, and goes on from there', async () => {
    // Enough connections that it is still busy when the signal comes.
    hub.faults.breakAfter = 60_000;
    const { child, result } = start(['pull', '--accept-license']);
    while (hub.asked.filter(({ range }) => range && !range.startsWith('bytes=0-')).length < 2)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 130, stderr: expect.stringContaining('goes on from there') });
    expect(await models()).toEqual([]);
    const [stage] = (await readdir(join(folder, 'models'))).filter((name) => name.startsWith('.pulling'));
    const names = await readdir(join(folder, 'models', stage!), { recursive: true });
    const partials = names.filter((name) => name.endsWith('.safetensors.partial'));
    const sizes = partials.map(async (name) => (await stat(join(folder, 'models', stage!, name))).size);
    expect(Math.max(...(await Promise.all(sizes)))).toBeGreaterThan(0);

    hub.asked.length = 0;
    hub.faults.breaks = 0;
    expect(await start(['pull', '--accept-license']).result).toMatchObject({ code: 0 });
    expect(hub.asked.some(({ range }) => range && !range.startsWith('bytes=0-'))).toBe(true);
    expect(await models()).toEqual(['runware-106@1']);
  });

  it('of a LoRA installs it as one', async () => {
    const words = ['me/ink', '--license', 'MIT', '--accept-license'];
    expect(await pull({}, ...words)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('hf:me:ink@main'),
    });
    const manifest = JSON.parse(await readFile(join(folder, 'models/hf-me-ink@main/manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({
      category: 'lora',
      files: { weights: 'ink.safetensors' },
      license: 'MIT',
    });
  });

  it('of a repository with several files lists them', async () => {
    const { code, stderr } = await pull({}, 'some/files', '--license', 'MIT');
    expect(code).toBe(1);
    expect(stderr).toContain('--file: it has a.gguf (3 bytes), b.gguf (4 bytes)');
  });

  it('of a single file without the rest of the model says what is missing', async () => {
    const words = ['--accept-license', '--file', 'vae/diffusion_pytorch_model.safetensors'];
    const { code, stderr } = await pull({}, repository, ...words);
    expect(code).toBe(1);
    expect(stderr).toContain('missing transformer, clip, t5, tokenizer, tokenizer2');
  });

  it('of one part of a network is refused', async () => {
    const part = 'transformer/diffusion_pytorch_model-00001-of-00002.safetensors';
    const { code, stderr } = await pull({}, repository, '--accept-license', '--file', part);
    expect(code).toBe(1);
    expect(stderr).toContain('is part 1 of 2 of a network, which is of no use alone');
  });

  it.each([
    ['kontext-IQ3_S.gguf', 'stores img_in.weight as IQ3_S'],
    ['kontext-nf4.safetensors', "stores bitsandbytes' NF4 weights"],
    ['kontext-nvfp4.safetensors', 'stores NVFP4 weights'],
  ])('of a format that is not read is refused by its header: %s', async (file, words) => {
    const { code, stderr } = await pull(
      {},
      'me/quantised',
      '--accept-license',
      '--license',
      'MIT',
      '--file',
      file,
    );
    expect(code).toBe(1);
    expect(stderr).toContain(`${file} of me/quantised ${words}`);
    expect(stderr).toContain('which this build does not read; it reads F32');
    expect(hub.asked.filter(({ host }) => host === 'storage').map(({ range }) => range)).toEqual([
      'bytes=0-1048575',
    ]);
    expect(stderr).not.toContain('Downloading');
    expect(await readdir(join(folder, 'models'))).toEqual([]);
  });

  it.each([
    [['no/body'], 1, 'has no no/body'],
    [['not a model'], 2, "'not a model' is neither runware:106@1 nor a repository such as owner/name"],
    [['a/b', 'c/d'], 2, 'pull takes one model; found 2'],
  ])('of %j is an error that says why', async (words, code, says) => {
    const result = await pull({}, ...words);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(says);
  });
});
