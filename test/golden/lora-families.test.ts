/** Files of every family, run unmerged, against the same updates merged into the weights. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ActiveLoras } from '../../src/engine/adapters/lora/active.ts';
import { families } from '../../src/engine/adapters/lora/families/index.ts';
import { type Layers, layersOf } from '../../src/engine/adapters/lora/layers.ts';
import { prepare } from '../../src/engine/adapters/lora/prepare.ts';
import { readLora } from '../../src/engine/adapters/lora/read.ts';
import type { Transformer } from '../../src/engine/networks/transformer.ts';
import {
  cutUpdates,
  type LoraFile,
  loraTensors,
  merged,
  type RandomUpdate,
  randomUpdates,
  withAlpha,
} from '../fixtures/lora-files.ts';
import { loadFlux, tinyComponents, velocityOf } from '../fixtures/tiny-flux.ts';
import { writeSafetensors } from '../fixtures/write-safetensors.ts';
import { difference } from './compare.ts';
import { block } from './tolerance.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-lora-'));
const components = tinyComponents();
const { checkpoint } = components.transformer.source;
const layers: Layers = layersOf(components);
const rank = 3;
const updates = randomUpdates(checkpoint, rank, 1);
let transformer: Transformer;
let plain: Float32Array;
let expected: Float32Array;

beforeAll(async () => {
  transformer = await loadFlux();
  plain = await velocityOf(transformer);
  expected = await mergedVelocity(updates);
});

afterAll(async () => {
  await transformer.release();
  fs.rmSync(folder, { recursive: true });
});

async function mergedVelocity(
  list: readonly RandomUpdate[],
  scale?: (update: RandomUpdate) => number,
): Promise<Float32Array> {
  const file = path.join(folder, 'merged.safetensors');
  writeSafetensors(file, merged(checkpoint, list, scale), { ...checkpoint.metadata });
  const other = await loadFlux(file);
  const velocity = await velocityOf(other);
  await other.release();
  return velocity;
}

let files = 0;
function write({ tensors, metadata }: LoraFile): string {
  const file = path.join(folder, `lora-${files++}.safetensors`);
  writeSafetensors(file, tensors, metadata);
  return file;
}

function unmerged(file: string, weight = 1): Promise<Float32Array> {
  const prepared = prepare(readLora(file, layers), file);
  const active = new ActiveLoras([{ file, weight, stage: 'both', prepared }]);
  return velocityOf(transformer, active.transformer(0.5));
}

function expectEqual(found: Float32Array, reference = expected): void {
  expect(difference(found, reference).relativeL2).toBeLessThanOrEqual(block);
}

const kohyaEnds: [string, string] = ['lora_down.weight', 'lora_up.weight'];
const attention = (name: string) => /_attn\.(qkv|proj)$|\.linear2$/.test(name);

/** Family → a file of the canonical updates, or of those that the family can have. */
const examples: Record<
  Exclude<keyof typeof families, 'bflControl'>,
  () => LoraFile & { only?: (name: string) => boolean }
> = {
  peft: () => ({ tensors: loraTensors(cutUpdates(updates), { prefix: 'transformer.' }) }),
  kohya: () => ({
    tensors: withAlpha(loraTensors(updates, { prefix: 'lora_unet_', dots: false, ends: kohyaEnds }), rank),
  }),
  comfyui: () => ({ tensors: loraTensors(updates, { prefix: 'diffusion_model.' }) }),
  onetrainer: () => ({
    tensors: withAlpha(
      loraTensors(cutUpdates(updates), { prefix: 'lora_transformer_', dots: false, ends: kohyaEnds }),
      rank,
    ),
  }),
  lycoris: () => ({
    tensors: loraTensors(cutUpdates(updates), { prefix: 'lycoris_', dots: false, ends: kohyaEnds }),
  }),
  xlabs: () => {
    const chosen = updates
      .filter(({ name }) => attention(name))
      .map((update) => ({ ...update, name: xlabsName(update) }));
    return {
      tensors: loraTensors(chosen, { prefix: '', ends: ['down.weight', 'up.weight'] }),
      only: attention,
    };
  },
  fal: () => ({ tensors: loraTensors(updates, { prefix: 'base_model.model.' }) }),
  bare: () => ({
    tensors: loraTensors(
      updates.filter(({ name }) => name.includes('_blocks.')),
      { prefix: '' },
    ),
    only: (name) => name.includes('_blocks.'),
  }),
};

function xlabsName({ name }: RandomUpdate): string {
  const [block, index, ...rest] = name.split('.');
  const layer: Record<string, string> = {
    'img_attn.qkv': 'qkv_lora1',
    'txt_attn.qkv': 'qkv_lora2',
    'img_attn.proj': 'proj_lora1',
    'txt_attn.proj': 'proj_lora2',
    linear2: 'proj_lora',
  };
  return `${block}.${index}.processor.${layer[rest.join('.')]}`;
}

describe('a file of the family', () => {
  it.each(Object.keys(examples) as (keyof typeof examples)[])(
    '%s acts as its updates merged into the weights',
    async (family) => {
      const { only, ...file } = examples[family]();
      const reference = only ? await mergedVelocity(updates.filter(({ name }) => only(name))) : expected;
      expectEqual(await unmerged(write(file)), reference);
      expect(difference(reference, plain).relativeL2).toBeGreaterThan(0.05);
    },
  );

  it('every one has an example here', () => {
    const known = Object.entries(families).filter(([, { refusal }]) => refusal === undefined);
    expect(Object.keys(examples).sort()).toEqual(known.map(([name]) => name).sort());
  });
});
