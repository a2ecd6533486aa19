/** Memory planned for FLUX.1 Kontext [dev] at its real size, from the headers of files without content. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { autoencoderTensors } from '../../bench/full-size/autoencoder.ts';
import { clipTensors, realLayers, t5Tensors } from '../../bench/full-size/text-encoders.ts';
import { writeTokenizers } from '../../bench/full-size/tokenizers.ts';
import { realDepth, transformerBf16 } from '../../bench/full-size/transformer.ts';
import { safetensorsLayout } from '../../bench/full-size/write-safetensors.ts';
import { imageDecoder, imageEncoder } from '../../src/engine/networks/autoencoder.ts';
import type { Loadable, Network } from '../../src/engine/networks/loadable.ts';
import { openModelFiles } from '../../src/engine/networks/opened-model.ts';
import { textEncoder } from '../../src/engine/networks/text-encoder.ts';
import { transformer } from '../../src/engine/networks/transformer.ts';
import { createEngine, processBytes } from '../../src/engine/pipeline/kontext.ts';
import type { ModelSource, Plan } from '../../src/engine/plan.ts';
import { RetouchError } from '../../src/error.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

const GiB = 2 ** 30;
const size = { width: 1024, height: 1024 };
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-memory-plan-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let source: ModelSource;

beforeAll(() => {
  const write = (name: string, tensors: Parameters<typeof safetensorsLayout>[0]) => {
    const file = path.join(folder, name);
    const { header, size } = safetensorsLayout(tensors);
    fs.writeFileSync(file, header);
    // The content is a hole, which takes no room.
    fs.truncateSync(file, size);
    return file;
  };
  writeTokenizers(folder);
  source = {
    air: 'test:real@1',
    files: {
      layout: 'split',
      transformer: write('flux1-kontext-dev.safetensors', transformerBf16(realDepth)),
      autoencoder: write('ae.safetensors', autoencoderTensors()),
      clip: write('clip_l.safetensors', clipTensors('F16')),
      t5: write('t5xxl_fp16.safetensors', t5Tensors(realLayers, 'F16', false)),
      tokenizer: path.join(folder, 'tokenizer'),
      tokenizer2: path.join(folder, 'tokenizer_2'),
    },
    cacheFolder: folder,
  };
});

/** The most memory in use at any phase of an image, in GiB, where the text encoders leave before the steps. */
async function largestPhase(precision: 'int8' | 'int4', references: number): Promise<number> {
  const limits = { threads: 1, memoryLimit: 24 * GiB };
  const model = await openModelFiles(source, { device: 'cpu', precision }, limits);
  const tokens = 512 + 4096 * (1 + references);
  const plain = {
    ...{ imagePromptTokens: 0, cachedPasses: 0, places: [], forms: new Map(), updateBytes: 0 },
    ...{ keptReferences: 0, keepsReferences: false },
  };
  const steps = transformer(model, { tokens, ...plain }).need;
  const smallest = imageDecoder(model, size, 'full').need;
  const [text, encoder] = [textEncoder(model, new Map()), imageEncoder(model, size)].map(sum) as [
    number,
    number,
  ];
  const phases = [
    text,
    encoder,
    steps.bytes + steps.working,
    steps.bytes + smallest.bytes + smallest.working,
  ];
  return (Math.max(...phases) + processBytes) / GiB;
}

function sum({ need }: Loadable<Network>): number {
  return need.bytes + need.working;
}

it.each([
  ['int8', 1, 17.5],
  ['int4', 1, 9.5],
  ['int4', 0, 9.2],
] as const)(
  '%s at 1024×1024 with %i references takes at most %d GiB',
  async (precision, references, most) => {
    expect(await largestPhase(precision, references)).toBeLessThan(most);
  },
);

it('12 GB are refused for int8 with both numbers before anything is loaded, and are enough for int4', async () => {
  const limit = 12e9;
  const engine = await createEngine({ threads: 1, memoryLimit: limit, log: () => {} });
  const plan: Plan = {
    ...scriptedPlan('make it night', { model: source, references: [await drawScene(64, 64)], ...size }),
    numerics: { ...scriptedPlan('').numerics, device: 'cpu', precision: 'int8' },
  };
  const messages: string[] = [];
  const refusal = await (async () => {
    for await (const event of engine.run(plan, new AbortController().signal))
      if (event.type === 'stage-progress') messages.push(event.message);
  })().catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(RetouchError);
  const { code, message, details } = refusal as RetouchError;
  expect(code).toBe('notEnoughMemory');
  expect(message).toMatch(
    /^Not enough memory for the transformer of test:real@1 .*: 1\d\.\d\d GiB are needed \(11\.\d\d GiB of weights, .*, and the engine may use 11\.18 GiB\./,
  );
  expect(details.limit).toBe(limit);
  expect(messages.filter((text) => text.startsWith('loading ') || text.startsWith('preparing '))).toEqual([]);
  await engine.release();
  expect((await largestPhase('int4', 1)) * GiB).toBeLessThan(limit);
});
