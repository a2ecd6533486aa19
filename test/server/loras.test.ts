import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RetouchError } from '../../src/error.ts';
import { type Bench, createBench, task } from './fixture.ts';

let bench: Bench;
let models: string;

async function install(folder: string, changes: object): Promise<void> {
  const manifest = { category: 'lora', name: 'Ink', files: 'ink.safetensors', license: 'MIT', ...changes };
  await mkdir(join(models, folder), { recursive: true });
  await writeFile(join(models, folder, 'manifest.json'), JSON.stringify(manifest));
}

beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'retouch-models-'));
  await install('ink', { air: 'me:ink@1', architecture: 'flux-dev' });
  await install('pixel', { air: 'me:pixel@1', name: 'Pixel art', architecture: 'sdxl' });
  bench = await createBench({ 'models-dir': models });
});

afterEach(async () => {
  await bench.close();
  await rm(models, { recursive: true });
});

const post = (...lora: object[]) => bench.post([{ ...task, taskUUID: randomUUID(), lora }]);
const ink = () => ({ air: 'me:ink@1', file: join(models, 'ink', 'ink.safetensors') });

describe('a task with LoRAs', () => {
  it('becomes a plan with their files, weights and stages', async () => {
    const { status } = await post(
      { model: 'me:ink@1' },
      { model: 'me:ink@1', weight: -1.25, transformer: 'high' },
    );
    expect(status).toBe(200);
    expect(bench.engine.plans[0]!.loras).toEqual([
      { ...ink(), weight: 1, stage: 'both' },
      { ...ink(), weight: -1.25, stage: 'high' },
    ]);
  });

  it('that names one that is not installed is refused with those that are and how to add it', async () => {
    const { status, body } = await post({ model: 'me:ink@1' }, { model: 'me:pen@1' });
    expect(status).toBe(400);
    expect(bench.engine.plans).toEqual([]);
    expect(body.errors).toEqual([
      expect.objectContaining({ code: 'invalidLoraModel', parameter: 'lora.model', type: 'string' }),
    ]);
    const { message } = body.errors![0] as { message: string };
    expect(message).toContain("'lora[1].model': The LoRA 'me:pen@1' is not installed.");
    expect(message).toContain('me:ink@1 (Ink), me:pixel@1 (Pixel art)');
    expect(message).toContain('docs/guide/lora.md');
  });

  it('of another architecture is refused with both', async () => {
    const { status, body } = await post({ model: 'me:pixel@1' });
    expect(status).toBe(400);
    expect(body.errors).toEqual([
      expect.objectContaining({
        code: 'unsupportedLoraModel',
        message: expect.stringContaining('is made for sdxl; the model retouch:mini@1 is flux-kontext'),
      }),
    ]);
  });

  it.each([
    [{ weight: 4.01 }, 'invalidLoraWeight'],
    [{ weight: -5 }, 'invalidLoraWeight'],
    [{ weight: 0.005 }, 'invalidLoraWeight'],
    [{ transformer: 'middle' }, 'invalidLoraTransformer'],
  ])('is refused with %j', async (changes, code) => {
    const { status, body } = await post({ model: 'me:ink@1', ...changes });
    expect([status, body.errors!.map((error) => error.code)]).toEqual([400, [code]]);
  });

  it.each(['loraInvalid', 'loraMisfit', 'loraRefused', 'loraUnknown', 'loraUnmatched'])(
    'whose file the engine refuses with %s is the request’s fault',
    async (code) => {
      bench.engine.script = async () => {
        throw new RetouchError(code, 'LoRA me:ink@1: it was made for another model');
      };
      const { status, body } = await post({ model: 'me:ink@1' });
      expect(status).toBe(400);
      expect(body.errors![0]).toMatchObject({
        code: 'unsupportedLoraModel',
        parameter: 'lora.model',
        message: 'LoRA me:ink@1: it was made for another model',
      });
    },
  );
});
