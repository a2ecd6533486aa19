/**
 * The networks on a GPU, computed as the engine would compute them on the device that is there: a GPU, or the software
 * device that `.ci/run` installs.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import type { Transformer } from '../../src/engine/networks/transformer.ts';
import { type AttentionShape, isFused, selfTest } from '../../src/engine/onnx/self-test.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import { type DeviceName, type Plan, plainNumerics } from '../../src/engine/plan.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { ModelStore } from '../../src/store/models.ts';
import { cutUpdates, loraTensors, randomUpdates } from '../fixtures/lora-files.ts';
import { pipelineFolder, pipelinePlan } from '../fixtures/plans.ts';
import { prepareFile, tinyComponents, velocityOf } from '../fixtures/tiny-flux.ts';
import { runWideT5, wideTolerances, writeWideT5 } from '../fixtures/wide-t5.ts';
import { type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { type Line, type Lines, weightFiles } from './checks/check.ts';
import { checkFlux } from './checks/flux.ts';
import { GuidedTransformer } from './checks/ip-adapter.ts';
import { checkAutoencoder, checkClip, checkT5 } from './checks/networks.ts';
import { cases, loadTiny, planOf, runCached } from './checks/step-caches.ts';
import { difference, printPsnr, printRelativeL2, psnr } from './compare.ts';
import { goldenFile } from './data.ts';
import { StoredFlux } from './stored-flux.ts';
import { blocks8, halfBlock, loop, picture, webgpuBlock } from './tolerance.ts';

/** WebGPU, or the device that TEST_DEVICE names. */
const deviceName = (process.env.TEST_DEVICE ?? 'webgpu') as DeviceName;
const required = process.env.TEST_WEBGPU === '1' || process.env.TEST_DEVICE !== undefined;
/** Attention of the small transformer, T5 and CLIP. */
const shapes: AttentionShape[] = [
  { headWidth: 32, tokens: 100, bias: 'none' },
  { headWidth: 16, tokens: 100, bias: 'heads' },
  { headWidth: 12, tokens: 77, bias: 'causal' },
];
const device = await selfTest(deviceName, { shapes });
const absent = device.report.length === 0;

const files = weightFiles(goldenFile(''));
const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-webgpu-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const fused = shapes.every((shape) => isFused(device, shape, false));
const setup = { device: deviceName, fused, tolerance: webgpuBlock } as const;

/** The embedded model's pictures in blocks, whose activations some devices round as the CPU does and others not, as PSNR in dB. */
const embeddedBlocks = 30;

/** Products are in f32 in all of them: the CPU computes the same. */
const precisions = device.widened ? (['f32', 'f16'] as const) : (['f32'] as const);

async function linesOf(
  label: string,
  check: (file: string, io: string, label: string) => Lines,
): Promise<Line[]> {
  const { file, io } = files.find((candidate) => candidate.label === label)!;
  const lines: Line[] = [];
  for await (const line of check(file, io, label)) {
    lines.push(line);
    if ('relativeL2' in line) printRelativeL2(line.name, line.relativeL2);
  }
  return lines;
}

test.runIf(required || !absent)(`device ${deviceName} is there and its operators are right`, () => {
  expect(device.reason).toBeUndefined();
  expect(device.ok).toBe(true);
});

describe.skipIf(absent)(`On ${deviceName}${absent ? ` is not tested: ${device.reason}` : ''}`, () => {
  test('every activation, output and loop of the transformer is the reference', {
    timeout: 300_000,
  }, async () => {
    const tolerance = { block: webgpuBlock, loop };
    const lines = await linesOf('flux_tiny', (...of) => checkFlux(...of, tolerance, setup));
    for (const line of lines) expect(line).toMatchObject({ pass: true });
    const names = lines.map((line) => line.name);
    for (const made of ['t2i', 'ref', 'ref2_offset', 'ref2_index'])
      for (const part of ['act.double.1.txt', 'act.single.2', 'act.final', 'out'])
        expect(names).toContain(`flux_tiny ${made}.${part}`);
    // Through the segments, whose results stay on the device.
    for (const run of ['loop.out', 'loop.true_cfg4.out', 'inpaint.out'])
      expect(names).toContainEqual(expect.stringContaining(`flux_tiny ${run}`));
  });

  test.runIf(required || device.widened)('sums of 12,288 products with f16 weights are those in f64', () => {
    const line = device.report.find(({ need }) => need === 'widened');
    if (line) printRelativeL2(line.operator, line.error);
    expect(line?.error).toBeLessThanOrEqual(1e-4);
  });

  test.each(precisions)(
    'the velocity in %s under IP-Adapters of both layouts is the reference',
    {
      timeout: 300_000,
    },
    async (precision) => {
      const preparedFile = path.join(folder, `guided-${precision}.safetensors`);
      const transformer = await GuidedTransformer.load(setup, { precision, preparedFile });
      const tolerance = precision === 'f16' ? halfBlock : webgpuBlock;
      const { clip, siglip } = transformer.pictures;
      const [one, other] = [
        await transformer.layersOf('xlabs', clip, 0.7),
        await transformer.layersOf('xlabs6', clip.slice(0, 1), -0.4),
      ];
      const all = await transformer.layersOf('instantx', siglip, 0.6);
      for (const [name, adapters] of [
        ['plain', []],
        ['xlabs.two', [one, other]],
        ['instantx', [all]],
      ] as const)
        expect(transformer.compare(name, await transformer.velocity(adapters), tolerance)).toMatchObject({
          pass: true,
        });
      await transformer.release();
    },
  );

  describe.each(precisions)('one transformer in %s', (precision) => {
    let gpu: Transformer;
    let cpu: Transformer;
    beforeAll(async () => {
      const file = path.join(folder, `tiny-${precision}.safetensors`);
      // Two blocks, so that the operators that cut attention run on the device.
      gpu = await loadTiny({ precision, fused: setup.fused, queryBlocks: 2 }, deviceName, file);
      cpu = await loadTiny({ precision, fused: true }, 'cpu', file);
    }, 300_000);
    afterAll(async () => {
      await gpu?.release();
      await cpu?.release();
    });

    test('under LoRAs of fused layers and of cut ones gives what it gives on the CPU', {
      timeout: 300_000,
    }, async () => {
      const components = tinyComponents();
      const layers = layersOf(components);
      const { checkpoint } = components.transformer.source;
      const updates = (seed: number) =>
        randomUpdates(checkpoint, 2, seed, (layer) => layer.includes('_blocks.'));
      const write = (name: string, tensors: Record<string, StoredTensor>) => {
        const file = path.join(folder, `${name}.safetensors`);
        writeSafetensors(file, tensors);
        return prepareFile(file, layers, components);
      };
      const uses = [
        await write('fused', loraTensors(updates(1), { prefix: 'diffusion_model.' })),
        await write('cut', loraTensors(cutUpdates(updates(2)), { prefix: 'transformer.' })),
      ].map((prepared, i) => ({
        file: String(i),
        weight: [0.4, -0.3][i]!,
        stage: 'both' as const,
        prepared,
      }));
      const both = new ActiveLoras(uses).transformer(0.5);
      const one = new ActiveLoras(uses.slice(0, 1)).transformer(0.5);
      const plain = await velocityOf(gpu);
      const expected = await velocityOf(cpu, both);
      expect(difference(await velocityOf(cpu), expected).relativeL2).toBeGreaterThan(0.01);
      const found = await velocityOf(gpu, both);
      expect(difference(found, expected).relativeL2).toBeLessThanOrEqual(webgpuBlock);
      // Feeds the device's copy again, replaces it, and uploads it once more.
      expect(await velocityOf(gpu, both)).toEqual(found);
      const { relativeL2 } = difference(await velocityOf(gpu, one), await velocityOf(cpu, one));
      expect(relativeL2).toBeLessThanOrEqual(webgpuBlock);
      expect(await velocityOf(gpu)).toEqual(plain);
      expect(await velocityOf(gpu, both)).toEqual(found);
    });

    test('that is waited for after every block gives the same bits, and tells of every block', {
      timeout: 300_000,
    }, async () => {
      const file = path.join(folder, `tiny-${precision}.safetensors`);
      const compute = { precision, fused: setup.fused, queryBlocks: 2, waits: true };
      const waiting = await loadTiny(compute, deviceName, file);
      const told: number[] = [];
      const found = await velocityOf(waiting, undefined, async (done) => void told.push(done));
      await waiting.release();
      expect(found).toEqual(await velocityOf(gpu));
      expect(told).toEqual([0, 1, 2, 3, 4]);
    });

    test.each(['tea 0.3', 'first-block 0.6 cfg 1', 'dual-block 0.7'])(
      'with a step cache, %s, takes the path that it takes on the CPU',
      { timeout: 300_000 },
      async (name) => {
        const each = cases.find((each) => each.name === name)!;
        const count = 5;
        const found = await runCached(gpu, planOf(each), each.trueCfg, count);
        const expected = await runCached(cpu, planOf(each), each.trueCfg, count);
        expect(found.hits).toEqual(each.hits.slice(0, count));
        expect(new Set(found.hits.flat()).size).toBe(2);
        expect(difference(found.x, expected.x).relativeL2).toBeLessThan(loop);
      },
    );
  });

  test.each(precisions)(
    'a picture in %s with a LoRA and a step cache is the one that the CPU paints',
    {
      timeout: 300_000,
    },
    async (precision) => {
      const engine = createEngine({ threads: 1, memoryLimit: 8 * 2 ** 30, log: () => {} });
      const transformer = openCheckpoint(path.join(pipelineFolder, 'transformer'));
      const updates = randomUpdates(transformer, 2, 1, (name) => name.includes('transformer_blocks.'));
      const file = path.join(folder, 'picture.safetensors');
      writeSafetensors(file, loraTensors(updates, { prefix: 'transformer.' }));
      const paint = async (device: DeviceName, changes: Partial<Plan> = {}) => {
        const plan = pipelinePlan(folder, {
          steps: 3,
          numerics: { ...plainNumerics, device, precision },
          loras: [{ air: 'me:ink@1', file, weight: 1, stage: 'both' }],
          cache: { name: 'first-block', threshold: 100, from: 1, to: 2, maxConsecutive: 1 },
          ...changes,
        });
        for await (const event of engine.run(plan, new AbortController().signal))
          if (event.type === 'image') return (await decodeImage(event.image.bytes)).data;
        throw new Error('the run ended without a picture');
      };
      const [found, expected] = [await paint(deviceName), await paint('cpu')];
      const [plain, uncached] = [await paint('cpu', { loras: [] }), await paint('cpu', { cache: undefined })];
      await engine.release();
      printPsnr(`picture in ${precision} with a LoRA and a step cache`, psnr(found, expected));
      printPsnr('the same on the CPU without the LoRA, which must differ', psnr(expected, plain));
      printPsnr('the same on the CPU without the cache, which must differ', psnr(expected, uncached));
      expect(psnr(found, expected)).toBeGreaterThanOrEqual(picture);
      expect(psnr(plain, expected)).toBeLessThan(picture - 10);
      expect(psnr(uncached, expected)).toBeLessThan(picture - 10);
    },
  );

  // In f16 with operands of f16, which this device sums in f16, the numbers are poor, but nothing overflows.
  test.runIf(device.widened)(
    "a layer of T5-XXL's width does not overflow in f16",
    { timeout: 300_000 },
    async () => {
      const source = writeWideT5(folder);
      const expected = await runWideT5(source, { precision: 'f32', fused: true }, 'cpu');
      const found = await runWideT5(source, { precision: 'f16', fused: false }, deviceName);
      const half = await runWideT5(source, { precision: 'f16', half: true, fused: false }, deviceName);
      const { relativeL2: error } = difference(found, expected);
      const { relativeL2: halfError } = difference(half, expected);
      printRelativeL2("a layer of T5-XXL's width, f16 weights, products in f32", error);
      printRelativeL2("a layer of T5-XXL's width, products of f16", halfError);
      expect(error).toBeLessThanOrEqual(webgpuBlock);
      expect(halfError).toBeLessThanOrEqual(0.2);
    },
  );

  test.each([
    ['int8-blocks', device.blocks8],
    ['int4', device.blocks4],
  ] as const)(
    "a layer of T5-XXL's width, whose numbers pass those of f16, is within the tolerance of %s",
    { timeout: 300_000 },
    async (precision, able) => {
      expect(able).toBe(true);
      const source = writeWideT5(folder);
      const expected = await runWideT5(source, { precision: 'f32', fused: true }, 'cpu');
      const found = await runWideT5(source, { precision, fused: false }, deviceName);
      const { relativeL2 } = difference(found, expected);
      printRelativeL2(`a layer of T5-XXL's width in ${precision}`, relativeL2);
      expect(relativeL2).toBeLessThanOrEqual(wideTolerances[precision]);
    },
  );

  test.each(['f32', 'f16', 'int8-blocks', 'int4'] as const)(
    'the embedded model paints in %s what it paints on the CPU',
    { timeout: 300_000 },
    async (precision) => {
      const store = await ModelStore.scan({ models: folder, cache: folder });
      const model = { ...store.find('retouch:mini@1')!.source, cacheFolder: folder };
      const engine = createEngine({ threads: 2, memoryLimit: 8 * 2 ** 30, log: () => {} });
      const paint = async (device: DeviceName) => {
        const numerics = { ...plainNumerics, device, precision };
        const changes = { model, prompt: 'make the car blue', width: 1024, height: 1024, steps: 2, numerics };
        for await (const event of engine.run(pipelinePlan(folder, changes), new AbortController().signal))
          if (event.type === 'image') return (await decodeImage(event.image.bytes)).data;
        throw new Error('the run ended without a picture');
      };
      const ratio = psnr(await paint(deviceName), await paint('cpu'));
      await engine.release();
      printPsnr(`embedded model's picture in ${precision}`, ratio);
      expect(ratio).toBeGreaterThanOrEqual(
        precision === 'f32' || precision === 'f16' ? picture : embeddedBlocks,
      );
    },
  );

  // The network's ends stay eight-bit floats that are widened in the graph, its blocks become four bits.
  test('a checkpoint in eight-bit floats gives in four bits what it gives on the CPU', {
    timeout: 300_000,
  }, async () => {
    const flux = new StoredFlux(folder);
    const scaled = flux.writeScaled();
    const found = await flux.velocity(scaled, 'int4', setup);
    const { relativeL2 } = difference(found, await flux.velocity(scaled, 'int4'));
    printRelativeL2('a checkpoint in eight-bit floats, in int4', relativeL2);
    expect(relativeL2).toBeLessThanOrEqual(blocks8);
  });

  test.each([
    ['ae_tiny', checkAutoencoder, ['act.enc.attn', 'act.dec.up1.us', 'latent', 'decoded']],
    ['ae_patch_tiny', checkAutoencoder, ['latent', 'decoded']],
    ['ae_shuffle_tiny', checkAutoencoder, ['latent', 'decoded']],
    ['clip_tiny', checkClip, ['last_hidden_state', 'pooler_output']],
    ['t5_tiny', checkT5, ['last_hidden_state']],
  ] as const)('%s is the reference', { timeout: 300_000 }, async (label, check, expected) => {
    const lines = await linesOf(label, (...of) => check(...of, setup));
    for (const line of lines) expect(line).toMatchObject({ pass: true });
    const names = lines.map((line) => line.name);
    for (const name of expected) expect(names).toContain(`${label} ${name}`);
  });
});
