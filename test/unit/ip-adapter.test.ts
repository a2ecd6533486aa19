import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { combine, combineMethods } from '../../src/engine/adapters/ip-adapter/combine.ts';
import { joinAdapters } from '../../src/engine/adapters/ip-adapter/image-prompt.ts';
import { openIpAdapter } from '../../src/engine/adapters/ip-adapter/index.ts';
import { embedScalings, type KeyValue } from '../../src/engine/adapters/ip-adapter/scaling.ts';
import { openVisionEncoder } from '../../src/engine/adapters/ip-adapter/vision-encoder.ts';
import { layerWeights, type WeightType, weightTypes } from '../../src/engine/adapters/ip-adapter/weights.ts';
import { clipEncoder, writeUnet, writeXlabs } from '../fixtures/ip-adapter-files.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-ip-adapter-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

const fit = { depth: 2, depthSingle: 3, hidden: 16, features: 24 };

describe('a file', () => {
  it('of XLabs is read with its sizes', () => {
    writeXlabs(at('x.safetensors'), fit, 1, 5);
    const { format, config } = openIpAdapter(at('x.safetensors'), fit);
    expect(format.name).toBe('XLabs');
    expect(config).toEqual({ features: 24, tokens: 5, width: 12, hidden: 16, layers: 2 });
  });

  it.each([
    [2048, 'SDXL'],
    [768, 'SD 1.5'],
    [640, 'a UNet with texts of 640 channels'],
  ])('for a UNet with texts of %i channels is refused by the name of its model', (context, base) => {
    writeUnet(at('unet.safetensors'), context);
    expect(() => openIpAdapter(at('unet.safetensors'), fit)).toThrow(
      expect.objectContaining({
        code: 'ipAdapterUnsupported',
        message: expect.stringContaining(`is an IP-Adapter for ${base}: it adds to the cross-attentions`),
      }),
    );
  });

  it.each([
    ['more blocks', { depth: 3 }, 'has keys for 2 blocks, and the transformer has 3'],
    ['other channels', { hidden: 24 }, 'makes keys of 16 channels, and the transformer’s queries have 24'],
    ['another encoder', { features: 32 }, 'takes images of 24 features, and its image encoder gives 32'],
  ])('for %s is refused with both numbers', (_, other, says) => {
    writeXlabs(at('x.safetensors'), fit);
    const open = () => openIpAdapter(at('x.safetensors'), { ...fit, ...other });
    expect(open).toThrow(
      expect.objectContaining({ code: 'ipAdapterMisfit', message: expect.stringContaining(says) }),
    );
  });

  it('of another kind is refused with the layouts that are read', () => {
    expect(() => openIpAdapter(clipEncoder, fit)).toThrow(
      /xlabs \(has ip_adapter_proj_model.*instantx \(has/,
    );
    expect(() => openVisionEncoder(at('x.safetensors'))).toThrow(
      /has vision_model\.pre_layrnorm.*head\.probe/,
    );
  });
});

describe('an encoder’s folder', () => {
  const install = (preprocessor: unknown) => {
    fs.mkdirSync(at('encoder'), { recursive: true });
    fs.copyFileSync(clipEncoder, at('encoder/model.safetensors'));
    fs.writeFileSync(at('encoder/config.json'), '{"num_attention_heads": 4}');
    fs.writeFileSync(at('encoder/preprocessor_config.json'), JSON.stringify(preprocessor));
    return openVisionEncoder(at('encoder')).config;
  };

  it('may say how pictures are normalised', () => {
    expect(install({ image_mean: [0.1, 0.2, 0.3] })).toMatchObject({
      mean: [0.1, 0.2, 0.3],
      deviation: [0.26862954, 0.26130258, 0.27577711],
      heads: 4,
    });
  });

  it('that says it wrongly is refused', () => {
    expect(() => install({ image_std: [0.1, 'a'] })).toThrow(/its image_std is \[0.1,"a"\], expected three/);
  });
});

describe('combining the features of guide pictures', () => {
  const [a, b, c] = [
    [3, 1],
    [4, 1],
    [1, -4],
  ].map((values) => Float32Array.from(values)) as [Float32Array, Float32Array, Float32Array];

  it.each([
    ['concat', [3, 1, 4, 1, 1, -4]],
    ['add', [8, -2]],
    ['subtract', [0.5, 2.5]],
    ['average', [8 / 3, -2 / 3]],
    // The norms are those of the columns: √26 and √18.
    ['norm_average', [8 / Math.sqrt(26) / 3, -2 / Math.sqrt(18) / 3]],
  ] as const)('by %s', (method, expected) => {
    const found = combine([a, b, c], method).flatMap((features) => [...features]);
    expect(found).toHaveLength(expected.length);
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 6);
  });

  it('leaves one picture as it is, by every method', () => {
    for (const method of Object.keys(combineMethods) as (keyof typeof combineMethods)[])
      expect(combine([a], method)).toEqual([a]);
  });
});

describe('scaling keys and values', () => {
  const kv: KeyValue = { key: Float32Array.of(1, 2, 3, 4), value: Float32Array.of(5, 6, 9, 2), width: 2 };
  const scaled = (name: keyof typeof embedScalings, w: number) => {
    const { key, value } = embedScalings[name](kv, w);
    return [[...key], [...value]];
  };

  it.each([
    [
      'only_v',
      [
        [1, 2, 3, 4],
        [10, 12, 18, 4],
      ],
    ],
    [
      'kv',
      [
        [2, 4, 6, 8],
        [10, 12, 18, 4],
      ],
    ],
    [
      'kv_penalty_c',
      [
        [2, 4, 6, 8],
        [10, 12, 18, 4],
      ],
    ],
    // The means of the columns are 7 and 4.
    [
      'k_mean_v_penalty_c',
      [
        [2, 4, 6, 8],
        [12, 10, 16, 6],
      ],
    ],
  ] as const)('%s by 2', (name, expected) => {
    expect(scaled(name, 2)).toEqual(expected);
  });

  it('by 1 changes nothing', () => {
    for (const name of Object.keys(embedScalings) as (keyof typeof embedScalings)[])
      expect(scaled(name, 1)).toEqual([[...kv.key], [...kv.value]]);
  });
});

describe('the weights of 19 blocks', () => {
  const of = (type: WeightType) =>
    layerWeights(type, { weight: 2, composition: 0.5 }, 19).map((weight) => Number(weight.toFixed(3)));
  const runs = (...parts: [count: number, weight: number][]) =>
    parts.flatMap(([count, weight]) => Array(count).fill(weight));

  it.each<[WeightType, number[]]>([
    ['normal', runs([19, 2])],
    ['weak_input', runs([7, 0.4], [12, 2])],
    ['weak_middle', runs([7, 2], [6, 0.4], [6, 2])],
    ['weak_output', runs([13, 2], [6, 0.4])],
    ['strong_middle', runs([7, 0.4], [6, 2], [6, 0.4])],
    ['style_transfer', runs([7, 0], [12, 2])],
    ['composition', runs([7, 2], [12, 0])],
    ['strong_style_transfer', runs([2, 2], [3, 0], [14, 2])],
    ['style_and_composition', runs([7, 0.5], [12, 2])],
    ['strong_style_and_composition', runs([2, 2], [3, 0.5], [14, 2])],
  ])('%s', (type, expected) => {
    expect(of(type)).toEqual(expected);
  });

  it('ease_in falls from the weight, ease_out rises towards it, ease_in_out peaks in the middle', () => {
    const [fall, rise, both] = [of('ease_in'), of('ease_out'), of('ease_in_out')];
    expect([fall[0], fall.at(-1)]).toEqual([2, 0.2]);
    expect([rise[0], rise.at(-1)]).toEqual([0.1, 1.9]);
    expect([both[0], both[9], both[10], both.at(-1)]).toEqual([0.1, 1.9, 1.9, 0.3]);
    expect(fall).toEqual(fall.toSorted((a, b) => b - a));
    expect(rise).toEqual(rise.toSorted((a, b) => a - b));
  });

  it('grow with the weight asked for, but for the composition’s own', () => {
    for (const type of Object.keys(weightTypes) as WeightType[]) {
      const [one, three] = [
        layerWeights(type, { weight: 1, composition: 0 }, 57),
        layerWeights(type, { weight: -3, composition: 0 }, 57),
      ];
      for (const [i, weight] of one.entries()) expect(three[i]).toBeCloseTo(-3 * weight, 12);
    }
  });

  it('cut 57 blocks into thirds of 19', () => {
    const weights = layerWeights('strong_middle', { weight: 1, composition: 1 }, 57);
    expect(weights.map((weight) => weight === 1)).toEqual(runs([19, 0], [19, 1], [19, 0]).map(Boolean));
  });
});

it('adapters of unequal tokens share one tensor, the missing ones masked, and none is fed elsewhere', () => {
  const layer = (tokens: number, value: number): KeyValue => ({
    key: new Float32Array(tokens * 4).fill(value),
    value: new Float32Array(tokens * 4).fill(value),
    width: 4,
  });
  const adapters = [1, 3].map((tokens) => ({ place: 'residual' as const, layers: [layer(tokens, tokens)] }));
  const feeds = joinAdapters(adapters, { depth: 1, depthSingle: 1, heads: 2 });
  expect(Object.keys(feeds).sort()).toEqual([
    'double_blocks.0.residual.k',
    'double_blocks.0.residual.v',
    'residual.mask',
    'residual.rows',
  ]);
  expect(feeds['residual.mask']!.dims).toEqual([2, 1, 1, 3]);
  expect([...(feeds['residual.mask']!.data as Float32Array)].map((value) => value < -1e20)).toEqual([
    false,
    true,
    true,
    false,
    false,
    false,
  ]);
  expect(feeds['double_blocks.0.residual.v']!.dims).toEqual([2, 2, 3, 2]);
  expect([...(feeds['double_blocks.0.residual.v']!.data as Float32Array)].slice(0, 6)).toEqual([
    1, 1, 0, 0, 0, 0,
  ]);
});
