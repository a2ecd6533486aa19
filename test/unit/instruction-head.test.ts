/** The embedded model with a prompt that asks for nothing it knows. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import type { Bitmap } from '../../src/engine/image/pixels.ts';
import { instructionHead, isRecognised } from '../../src/engine/models/instruction-head.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import type { Plan } from '../../src/engine/plan.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { scriptedPlan } from '../fixtures/plans.ts';

vi.setConfig({ testTimeout: 60_000 });

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const unknown = 'The embedded model did not recognise an instruction it knows.';

let engine: Engine;
let scene: Uint8Array;
let reference: Bitmap;
beforeAll(async () => {
  engine = createEngine({ threads: 2, memoryLimit: 2 ** 31, log: () => {} });
  scene = await readFile(file('examples/scene-car.png'));
  reference = await decodeImage(scene);
});
afterAll(() => engine.release());

async function edit(prompt: string, planned: Partial<Plan> = {}) {
  const plan: Plan = scriptedPlan(prompt, {
    model: {
      air: 'retouch:mini@1',
      files: { layout: 'diffusers', folder: file('model') },
      cacheFolder: 'none',
    },
    references: [scene],
    width: reference.width,
    height: reference.height,
    seed: 7n,
    steps: 2,
    ...planned,
  });
  const warnings: string[] = [];
  for await (const event of engine.run(plan, new AbortController().signal)) {
    if (event.type === 'warning') warnings.push(event.message);
    if (event.type === 'image') return { result: await decodeImage(event.image.bytes), warnings };
  }
  throw new Error('The engine gave no picture.');
}

describe('the embedded model', () => {
  it.each([
    'add a penguin next to the car',
    'make it look like a painting by Van Gogh',
    'what is this?',
    'swap the car and the tree',
    'exchange the places of the car and the tree',
    'remove everything except the car',
    'make everything blue',
    'hello',
    '',
    'mach das Auto rot',
    '你好',
  ])('leaves every byte of the picture as it is on "%s", and says so', async (prompt) => {
    const { result, warnings } = await edit(prompt);
    expect(warnings).toEqual([unknown]);
    expect(Buffer.compare(result.data, reference.data)).toBe(0);
  });

  it.each(['turn the red car blue', 'please could you paint my automobile purple', 'make it winter'])(
    'edits on "%s" without a warning',
    async (prompt) => {
      const { result, warnings } = await edit(prompt);
      expect(warnings).toEqual([]);
      expect(Buffer.compare(result.data, reference.data)).not.toBe(0);
    },
  );

  it('brings a picture that it leaves as it is to the size asked for', async () => {
    const { result } = await edit('hello', { width: 832, height: 1248 });
    expect([result.width, result.height]).toEqual([832, 1248]);
  });

  it('draws without a reference whatever it is asked for, and says that it did not recognise it', async () => {
    const { result, warnings } = await edit('hello', { references: [] });
    expect(warnings).toEqual([unknown]);
    expect(result.width).toBe(reference.width);
  });
});

it('an instruction head adds its bias to the product of its weight with the pooled vector, and asks for more than zero', () => {
  const head = { weight: Float32Array.of(1, -2), bias: 0.5 };
  expect(isRecognised(head, Float32Array.of(1, 0.5))).toBe(true);
  expect(isRecognised(head, Float32Array.of(1, 0.75))).toBe(false);
});

describe('an instruction head of another shape is refused when the model is opened, with the file, the tensor and both shapes', () => {
  const whole = openCheckpoint(file('model/text_encoder'));
  it.each([
    ['instruction_head.weight', [1, 64], [1, 128]],
    ['instruction_head.weight', [2, 128], [1, 128]],
    ['instruction_head.weight', [128], [1, 128]],
    ['instruction_head.bias', [2], [1]],
  ])('%s %j', (name, shape, expected) => {
    const stored = `text_model.${name}`;
    const entry = { ...whole.tensors.get(stored)!, shape };
    const tensors = new Map(whole.tensors).set(stored, entry);
    const source = new WeightSource(
      new Checkpoint(whole.path, tensors, whole.metadata, whole.config),
      clipDialects,
    );
    const message = `tensor ${name} of ${whole.path} has shape [${shape}], expected [${expected}]`;
    expect(() => instructionHead(source, 128)).toThrow(
      expect.objectContaining({ code: 'tensorMisshapen', message }),
    );
  });

  it.each(['instruction_head.weight', 'instruction_head.bias'])('one without %s is refused too', (name) => {
    const tensors = new Map(whole.tensors);
    tensors.delete(`text_model.${name}`);
    const source = new WeightSource(
      new Checkpoint(whole.path, tensors, whole.metadata, whole.config),
      clipDialects,
    );
    expect(() => instructionHead(source, 128)).toThrow(expect.objectContaining({ code: 'tensorMissing' }));
  });
});
