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
  const prepared = prepare(readLora(file, layers));
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

  const cutNames = (prefix: string) => loraTensors(cutUpdates(updates), { prefix });
  const fused: Readonly<Record<string, string>> = {
    'double img_attn.qkv': 'attn.to_qkv',
    'double txt_attn.qkv': 'attn.to_added_qkv',
  };
  const diffSynth: Readonly<Record<string, string>> = {
    'img_mod.lin': 'norm1_a.linear',
    'txt_mod.lin': 'norm1_b.linear',
    'img_attn.qkv': 'attn.a_to_qkv',
    'txt_attn.qkv': 'attn.b_to_qkv',
    'img_attn.proj': 'attn.a_to_out',
    'txt_attn.proj': 'attn.b_to_out',
    'img_mlp.0': 'ff_a.0',
    'img_mlp.2': 'ff_a.2',
    'txt_mlp.0': 'ff_b.0',
    'txt_mlp.2': 'ff_b.2',
    'modulation.lin': 'norm.linear',
    linear1: 'to_qkv_mlp',
    linear2: 'proj_out',
  };
  const inBlocks = updates.filter(({ name }) => name.includes('_blocks.'));
  const renamed = (
    list: readonly RandomUpdate[],
    of: (kind: string, index: string, layer: string) => string,
  ) =>
    list.map((update) => {
      const [, kind, index, layer] = update.name.match(/^(double|single)_blocks\.(\d+)\.(.+)$/)!;
      return { ...update, name: of(kind!, index!, layer!) };
    });
  const isFused = ({ name }: RandomUpdate) => name.endsWith('_attn.qkv');

  it.each<[string, () => LoraFile['tensors'], (update: RandomUpdate) => boolean]>([
    ["SimpleTuner's, PEFT's under diffusers'", () => cutNames('transformer.base_model.model.'), () => true],
    ["diffusers' under unet", () => cutNames('unet.'), () => true],
    [
      "ComfyUI's of a checkpoint",
      () => loraTensors(updates, { prefix: 'model.diffusion_model.' }),
      () => true,
    ],
    [
      'with an underscore at the end',
      () => {
        const tensors = loraTensors(updates, { prefix: 'lora_unet_', dots: false, ends: kohyaEnds });
        return Object.fromEntries(
          Object.entries(tensors).map(([name, value]) => [name.replace('.', '_.'), value]),
        );
      },
      () => true,
    ],
    [
      "of diffusers' fused q, k and v",
      () =>
        loraTensors(
          renamed(
            updates.filter(isFused),
            (kind, index, layer) => `transformer_blocks.${index}.${fused[`${kind} ${layer}`]}`,
          ),
          { prefix: 'transformer.' },
        ),
      isFused,
    ],
    [
      "DiffSynth's",
      () =>
        loraTensors(
          renamed(
            inBlocks,
            (kind, index, layer) =>
              `${kind === 'double' ? 'blocks' : 'single_blocks'}.${index}.${diffSynth[layer]}`,
          ),
          { prefix: '', ends: ['lora_A.default.weight', 'lora_B.default.weight'] },
        ),
      (update) => inBlocks.includes(update),
    ],
  ])('in other names is read too: %s', async (_, tensors, chosen) => {
    const reference = await mergedVelocity(updates.filter(chosen));
    expectEqual(await unmerged(write({ tensors: tensors() })), reference);
    expect(difference(reference, plain).relativeL2).toBeGreaterThan(0.02);
  });

  it('every one has an example here', () => {
    const known = Object.entries(families).filter(([, { refusal }]) => refusal === undefined);
    expect(Object.keys(examples).sort()).toEqual(known.map(([name]) => name).sort());
  });
});
