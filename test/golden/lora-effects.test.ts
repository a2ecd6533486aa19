/** Every parameter of a LoRA has its documented effect, on random models through the whole engine. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { layersOf } from '../../src/engine/adapters/lora/layers.ts';
import type { Prepared } from '../../src/engine/adapters/lora/prepare.ts';
import type { LoraStage } from '../../src/engine/adapters/lora/stages.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import type { Transformer } from '../../src/engine/networks/transformer.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import type { EngineEvent, Plan, PlannedLora } from '../../src/engine/plan.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { cutUpdates, loraTensors, randomUpdates } from '../fixtures/lora-files.ts';
import { pipelineFolder, pipelinePlan } from '../fixtures/plans.ts';
import { loadFlux, prepareFile, tinyComponents, velocityOf } from '../fixtures/tiny-flux.ts';
import { f32, type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';
import { difference } from './compare.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-lora-effects-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

function write(name: string, tensors: Record<string, StoredTensor>): string {
  const file = path.join(folder, `${name}.safetensors`);
  writeSafetensors(file, tensors);
  return file;
}

describe('on the velocity, a LoRA', () => {
  const components = tinyComponents();
  const layers = layersOf(components);
  let transformer: Transformer;
  let plain: Float32Array;
  let ink: Prepared;
  let pen: Prepared;

  beforeAll(async () => {
    transformer = await loadFlux();
    plain = await velocityOf(transformer);
    const { checkpoint } = components.transformer.source;
    const read = (name: string, seed: number) => {
      const updates = cutUpdates(randomUpdates(checkpoint, 2, seed, (layer) => layer.includes('_blocks.')));
      return prepareFile(write(name, loraTensors(updates, { prefix: 'transformer.' })), layers, components);
    };
    ink = await read('ink', 1);
    pen = await read('pen', 2);
  });
  afterAll(() => transformer.release());

  type Use = [prepared: Prepared, weight: number, stage?: LoraStage];

  function velocity(uses: Use[], sigma = 0.5): Promise<Float32Array> {
    const active = new ActiveLoras(
      uses.map(([prepared, weight, stage = 'both'], i) => ({ file: String(i), weight, stage, prepared })),
    );
    return velocityOf(transformer, active.transformer(sigma));
  }

  /** The change that the LoRAs cause. */
  async function change(...uses: Use[]): Promise<Float32Array> {
    return (await velocity(uses)).map((value, i) => value - plain[i]!);
  }

  const times = (values: Float32Array, factor: number) => values.map((value) => factor * value);

  it('changes it in proportion to a small weight, and the other way for a negative one', async () => {
    const small = await change([ink, 0.02]);
    expect(difference(times(await change([ink, 0.04]), 0.5), small).relativeL2).toBeLessThan(0.05);
    expect(difference(times(await change([ink, -0.02]), -1), small).relativeL2).toBeLessThan(0.05);
    expect(Math.hypot(...small)).toBeGreaterThan(0.001 * Math.hypot(...plain));
  });

  it('changes it more the higher the weight, up to 4 and down to -4', async () => {
    const sizes: number[] = [];
    for (const weight of [0.1, 0.5, 1, 4]) sizes.push(Math.hypot(...(await change([ink, weight]))));
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect((await change([ink, -4])).every(Number.isFinite)).toBe(true);
  });

  it('changes nothing at a weight of 0', async () => {
    expect(await velocity([[ink, 0]])).toEqual(plain);
  });

  it('adds to others, in any order', async () => {
    const [a, b] = [await change([ink, 0.02]), await change([pen, 0.03])];
    const both = await change([ink, 0.02], [pen, 0.03]);
    const sum = a.map((value, i) => value + b[i]!);
    expect(difference(both, sum).relativeL2).toBeLessThan(0.05);
    expect(difference(await change([pen, 0.03], [ink, 0.02]), both).relativeL2).toBeLessThan(1e-4);
  });

  it('given twice is one of both weights together, and none when they are opposite', async () => {
    expect(
      await velocity([
        [ink, 0.25],
        [ink, 0.5],
      ]),
    ).toEqual(await velocity([[ink, 0.75]]));
    expect(
      await velocity([
        [ink, 0.5],
        [ink, -0.5],
      ]),
    ).toEqual(plain);
  });

  it('of a stage acts at its noise levels alone', async () => {
    const always = await velocity([[ink, 1]]);
    for (const [stage, sigma, acts] of [
      ['high', 0.875, true],
      ['high', 0.87, false],
      ['low', 0.875, false],
      ['low', 0.87, true],
    ] as const)
      expect(await velocity([[ink, 1, stage]], sigma), `${stage} at ${sigma}`).toEqual(acts ? always : plain);
  });
});

describe('in a run, a LoRA', () => {
  const engine = createEngine({ threads: 1, memoryLimit: 8 * 2 ** 30, log: () => {} });
  const files: Record<string, string> = {};
  afterAll(() => engine.release());

  beforeAll(() => {
    const updates = (component: string, seed: number, chosen: (name: string) => boolean) =>
      randomUpdates(openCheckpoint(path.join(pipelineFolder, component)), 2, seed, chosen);
    const blocks = (name: string) => name.includes('transformer_blocks.');
    for (const [name, seed] of [
      ['ink', 1],
      ['pen', 2],
    ] as const)
      files[name] = write(
        `run-${name}`,
        loraTensors(updates('transformer', seed, blocks), { prefix: 'transformer.' }),
      );
    const words = updates('text_encoder_2', 3, (name) => name.endsWith('SelfAttention.v'));
    files.words = write('run-words', loraTensors(words, { prefix: 'text_encoder_2.' }));
    const query = 'transformer.transformer_blocks.0.attn.to_q';
    for (const [name, value] of [
      ['dora', 1.5],
      ['other-dora', 0.7],
    ] as const) {
      const [layer] = updates('transformer', 4, (other) => other === 'transformer_blocks.0.attn.to_q');
      const magnitude = f32(Array(layer!.outputs).fill(value), [layer!.outputs]);
      const tensors = loraTensors([layer!], { prefix: 'transformer.' });
      files[name] = write(name, { ...tensors, [`${query}.lora_magnitude_vector`]: magnitude });
    }
  });

  type Run = { messages: string[]; previews: string[]; picture: string };

  async function run(
    loras: [name: string, weight?: number, stage?: LoraStage][],
    changes: Partial<Plan> = {},
  ): Promise<Run> {
    const plan = pipelinePlan(folder, {
      steps: 6,
      loras: loras.map(([name, weight = 1, stage = 'both']): PlannedLora => {
        return { air: `me:${name}@1`, file: files[name]!, weight, stage };
      }),
      ...changes,
    });
    const events: EngineEvent[] = [];
    for await (const event of engine.run(plan, new AbortController().signal)) events.push(event);
    const of = async (type: 'preview' | 'image') => {
      const images = events.flatMap((event) => (event.type === type ? [event.image.bytes] : []));
      return Promise.all(images.map(pixelsOf));
    };
    return {
      // Loading and reading alone: encoding, steps and decoding report progress too.
      messages: events.flatMap((event) =>
        event.type === 'stage-progress' && event.stage === 'load' ? [event.message] : [],
      ),
      previews: await of('preview'),
      picture: (await of('image'))[0]!,
    };
  }

  /** The image without its metadata. */
  async function pixelsOf(bytes: Uint8Array): Promise<string> {
    const { data } = await decodeImage(bytes);
    return createHash('sha256').update(data).digest('hex');
  }

  it('is chosen by each request without loading a network again, and read once', async () => {
    const plain = await run([]);
    expect(plain.messages).toContain('loading transformer');
    const ink = await run([['ink']]);
    expect(new Set(ink.messages)).toEqual(new Set(['reading LoRA me:ink@1']));
    const pen = await run([['pen', 0.5]]);
    expect(new Set(pen.messages)).toEqual(new Set(['reading LoRA me:pen@1']));
    const both = await run([['ink'], ['pen', -2]]);
    expect(both.messages).toEqual([]);
    const again = await run([['ink']]);
    expect(again).toEqual({ ...ink, messages: [] });
    // Nothing of it stays in the networks.
    expect(await run([])).toEqual({ ...plain, messages: [] });
    expect(new Set([plain, ink, pen, both].map(({ picture }) => picture)).size).toBe(4);
  });

  it('of the low stage leaves the first steps as they are, and of the high stage changes them', async () => {
    const previewing = { previewEvery: 1, sigmas: 'uniform' } as const;
    // Levels 1, 0.83, 0.67, 0.5, 0.33, 0.17: the first step is the high stage's.
    const plain = await run([], previewing);
    const low = await run([['ink', 1, 'low']], previewing);
    const high = await run([['ink', 1, 'high']], previewing);
    const both = await run([['ink']], previewing);
    expect(plain.previews).toHaveLength(5);
    expect(low.previews[0]).toBe(plain.previews[0]);
    expect(low.previews[1]).not.toBe(plain.previews[1]);
    expect(high.previews[0]).toBe(both.previews[0]);
    expect(high.previews[0]).not.toBe(plain.previews[0]);
    expect(new Set([plain, low, high, both].map(({ picture }) => picture)).size).toBe(4);
  });

  it('of a text encoder changes how the prompt is understood, and only then is it encoded again', async () => {
    const plain = await run([]);
    const words = await run([['words']]);
    expect(words.picture).not.toBe(plain.picture);
    expect((await run([['words', 0]])).picture).toBe(plain.picture);
  });

  it('of another form than a product is compiled for once, and serves every file of that form', async () => {
    const plain = await run([]);
    const first = await run([['dora']]);
    expect(first.messages).toContain('loading transformer');
    const second = await run([['other-dora', 0.5], ['ink']]);
    expect(second.messages).not.toContain('loading transformer');
    expect(new Set([plain, first, second].map(({ picture }) => picture)).size).toBe(3);
    expect((await run([['dora', 0]])).picture).toBe(plain.picture);
  });

  it('that does not fit the model is refused with its id', async () => {
    const name = 'transformer.transformer_blocks.0.attn.to_q';
    files.large = write('large', {
      [`${name}.lora_A.weight`]: f32(Array(3072).fill(0), [1, 3072]),
      [`${name}.lora_B.weight`]: f32(Array(3072).fill(0), [3072, 1]),
    });
    await expect(run([['large']])).rejects.toMatchObject({
      code: 'loraMisfit',
      message: expect.stringMatching(/^LoRA me:large@1: .* it was made for another model$/),
    });
  });
});
