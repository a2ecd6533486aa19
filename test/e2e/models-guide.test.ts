/** Every command of docs/guide/models.md, in its order, against a hub on this machine. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type HubServer, startHub } from '../fixtures/hub-server.ts';
import {
  licenseText,
  pipelineFiles,
  writeIpAdapter,
  writeLora,
  writePipeline,
  writeSingleFiles,
} from '../fixtures/model-files.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const guide = await readFile(new URL('../../docs/guide/models.md', import.meta.url), 'utf8');
const blocks = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, commands]) => commands!);

let folder: string;
let hub: HubServer;

type Result = { code: number | null; stdout: string; stderr: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-guide-'));
  const at = (name: string) => join(folder, name);
  await writePipeline(at('FLUX.1-Kontext-dev'));
  await writeSingleFiles(folder);
  await copyFile(at('flux.safetensors'), at('flux1-dev-kontext_fp8_scaled.safetensors'));
  await copyFile(at('t5xxl.safetensors'), at('t5xxl_fp16.safetensors'));
  writeLora(at('ink.safetensors'));
  await writeIpAdapter(at('ip_adapter.safetensors'), at('clip-vit-large-patch14'));
  hub = await startHub(
    {
      'black-forest-labs/FLUX.1-Kontext-dev': await pipelineFiles(),
      'QuantStack/FLUX.1-Kontext-dev-GGUF': {
        'README.md': Buffer.from('# GGUF\n'),
        'flux1-kontext-dev-Q4_K_M.gguf': await readFile(at('flux.gguf')),
        'flux1-kontext-dev-Q8_0.gguf': Buffer.alloc(5000),
      },
    },
    { license: 'other', license_name: 'tests-only' },
    { token: 'hf_yours' },
  );
  await writeFile(at('retouch'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`);
  await chmod(at('retouch'), 0o755);
});

afterAll(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

function sh(commands: string, answer?: string): Promise<Result> {
  const env = {
    PATH: `${folder}:${process.env.PATH}`,
    HOME: folder,
    HF_ENDPOINT: hub.url,
    HF_TOKEN: 'hf_yours',
    RETOUCH_DATA_DIR: join(folder, 'data'),
  };
  const script = `set -e\n${commands}`;
  const [command, words] =
    answer === undefined ? ['sh', ['-c', script]] : ['/usr/bin/script', ['-qec', script, '/dev/null']];
  const child = spawn(command as string, words as string[], { env, cwd: folder });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
    // Not before the question: until then the terminal itself would act on it.
    if (answer !== undefined && stdout.includes('[y/N]') && !child.stdin.writableEnded)
      child.stdin.end(answer);
  });
  child.stderr.on('data', (text) => (stderr += text));
  if (answer === undefined) child.stdin.end();
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

async function installed(): Promise<Record<string, { name: string; license: string; category: string }>> {
  const { stdout } = await sh('retouch models list --json');
  const rows: { air: string; name: string; license: string; category: string }[] = JSON.parse(stdout);
  return Object.fromEntries(rows.map((row) => [row.air, row]));
}

describe('the guide', () => {
  it('has commands in the order that the tests below run them in', () => {
    const firsts = blocks.map((block) => block.match(/retouch \w+( add| remove)?/)![0]);
    expect(firsts).toEqual([
      'retouch pull',
      'retouch pull',
      'retouch models add',
      'retouch models add',
      'retouch models add',
      'retouch models',
      'retouch models',
      'retouch models remove',
    ]);
  });

  // From util-linux; without it nobody sits at a terminal, and the licence is accepted by a flag.
  const hasTerminal = process.platform === 'linux' && existsSync('/usr/bin/script');

  it('pulls FLUX.1 Kontext [dev] once its licence is accepted', async () => {
    const commands = hasTerminal ? blocks[0]! : blocks[0]!.replace('pull', 'pull --accept-license');
    if (hasTerminal) {
      // No, and leaving the question.
      for (const answer of ['n\n', '\x03', '\x04']) {
        const refused = await sh(commands, answer);
        expect(refused.stdout).toContain('was not accepted; nothing was installed');
        expect(refused.code).toBe(1);
      }
      expect(Object.keys(await installed())).not.toContain('runware:106@1');
    }
    const { code, stdout, stderr } = await sh(commands, hasTerminal ? 'y\n' : undefined);
    expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
    expect(stdout + stderr).toContain(licenseText.split('\n')[2]);
    expect(stdout).toContain('runware:106@1 (FLUX.1 Kontext [dev]) is installed in');
    const model = join(folder, 'data/models/runware-106@1');
    const names = await readdir(model, { recursive: true });
    expect(names.filter((name) => /partial|flux1-kontext|gitattributes/.test(name))).toEqual([]);
    const manifest = JSON.parse(await readFile(join(model, 'manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({
      files: '.',
      license: 'FLUX.1 [dev] Non-Commercial License',
      source: { repository: 'black-forest-labs/FLUX.1-Kontext-dev' },
    });
  });

  it('pulls one GGUF file and shares the rest', async () => {
    expect(await sh(blocks[1]!)).toMatchObject({ code: 0 });
    expect(hub.asked.filter(({ path }) => path.includes('Q8_0'))).toEqual([]);
    const manifest = JSON.parse(
      await readFile(
        join(folder, 'data/models/hf-QuantStack-flux1-kontext-dev-Q4_K_M@main/manifest.json'),
        'utf8',
      ),
    );
    expect(manifest.files).toMatchObject({
      transformer: 'flux1-kontext-dev-Q4_K_M.gguf',
      t5: join(folder, 'data/models/runware-106@1/text_encoder_2'),
    });
  });

  it('adds what is on the disk', async () => {
    for (const block of blocks.slice(2, 5)) expect(await sh(block)).toMatchObject({ code: 0, stderr: '' });
    expect(await installed()).toMatchObject({
      'me:kontext@1': { name: 'Kontext, our copy', license: 'tests-only', category: 'checkpoint' },
      'local:kontext-fp8@1': { license: 'FLUX.1 [dev] Non-Commercial', category: 'checkpoint' },
      'me:ink@1': { name: 'Ink drawings', category: 'lora' },
      'me:style@1': { name: 'ip_adapter', category: 'ip-adapter' },
    });
  });

  it('converts it before it is used', async () => {
    const { code, stdout } = await sh(blocks[5]!);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^me:kontext@1 in int8\. Disk for converted weights .+\nConverted in \d+ s\.\n$/);
  });

  it('lists it', async () => {
    const { code, stdout } = await sh(blocks[6]!);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^AIR +NAME +KIND +SIZE +LICENSE +FOLDER\n/);
    expect(stdout).toMatch(/\nme:ink@1 +Ink drawings +lora +\d+ bytes +MIT +\//);
  });

  it('keeps a model that others need, and removes what is asked', async () => {
    const kept = await sh('retouch models remove runware:106@1 --yes');
    expect(kept.code).toBe(1);
    expect(kept.stderr).toContain('gives files to hf:QuantStack:flux1-kontext-dev-Q4_K_M@main');
    expect(await sh(blocks[7]!)).toMatchObject({ code: 0 });
    const left = Object.keys(await installed());
    expect(left).toContain('runware:106@1');
    expect(left.filter((air) => /ink|Quant/.test(air))).toEqual([]);
    expect(existsSync(join(folder, 'ink.safetensors'))).toBe(true);
  });
});
