/** Each property of an IP-Adapter has the effect that docs/guide/ip-adapters.md describes, on a small random model. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeIpAdapters } from '../../src/engine/adapters/ip-adapter/encode.ts';
import { LoraCache } from '../../src/engine/adapters/lora/cache.ts';
import type { Face } from '../../src/engine/faces/boxes.ts';
import { faceDetector, findFaces, largestFace } from '../../src/engine/faces/detect.ts';
import { decodeImage, encodeImage } from '../../src/engine/image/image-codec.ts';
import { type Bitmap, cropBitmap } from '../../src/engine/image/pixels.ts';
import { Residents } from '../../src/engine/networks/residents.ts';
import { createEngine } from '../../src/engine/pipeline/kontext.ts';
import { type Model, openModel } from '../../src/engine/pipeline/model.ts';
import { type Plan, type PlannedIpAdapter, plainNumerics, type ToolSource } from '../../src/engine/plan.ts';
import { clipEncoder, clipFeatures, writeXlabs } from '../fixtures/ip-adapter-files.ts';
import { picture } from '../fixtures/photos.ts';
import { pipelinePlan } from '../fixtures/plans.ts';
import { bundledDetector, drain } from '../fixtures/tools.ts';
import { finish } from './checks/flux.ts';
import { psnr } from './compare.ts';

const options = { threads: 1, memoryLimit: 8 * 2 ** 30, log: () => {} };
const engine = createEngine(options);
const loras = new LoraCache({ limit: 0, threads: 1 });
const residents = new Residents(options.memoryLimit, loras);

function modelOf(plan: Plan): Promise<Model> {
  return finish(openModel(plan, { residents, loras, limits: options }));
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-guides-'));
const fit = { depth: 2, depthSingle: 2, hidden: 64, features: clipFeatures };
const files = [1, 2].map((seed) => path.join(folder, `${seed}.safetensors`));

/** Broad stripes across or down, in two colours. */
async function draw(along: 'x' | 'y', from: number, to: number): Promise<Uint8Array> {
  const side = 40;
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / 3);
    const at = along === 'x' ? pixel % side : Math.floor(pixel / side);
    data[i] = Math.floor(at / 8) % 2 === 0 ? from + 30 * (i % 3) : to - 20 * (i % 3);
  }
  return (await encodeImage({ width: side, height: side, data }, 'png', 100)).bytes;
}

let [sunset, sea]: [Uint8Array, Uint8Array] = [new Uint8Array(), new Uint8Array()];
let plain: Float64Array;

beforeAll(async () => {
  for (const [i, file] of files.entries()) writeXlabs(file, fit, i + 1, 3 + i);
  [sunset, sea] = [await draw('x', 190, 60), await draw('y', 20, 240)];
  plain = await paint([]);
});

afterAll(async () => {
  await engine.release();
  await residents.release();
  fs.rmSync(folder, { recursive: true });
});

function adapter(changes: Partial<PlannedIpAdapter> = {}): PlannedIpAdapter {
  return {
    air: 'test:style@1',
    file: files[0]!,
    imageEncoder: clipEncoder,
    guides: [sunset],
    weight: 1,
    weightType: 'normal',
    weightComposition: 1,
    faceDetector: undefined,
    combineMethod: 'concat',
    embedScaling: 'kv',
    ...changes,
  };
}

function planOf(ipAdapters: PlannedIpAdapter[], changes: Partial<Plan> = {}): Plan {
  const own = { prompt: 'make the sky pink', width: 96, seed: 7n, steps: 2, ipAdapters };
  return pipelinePlan(path.join(folder, 'cache'), { ...own, ...changes });
}

/** The pixels of a run. */
async function paint(ipAdapters: PlannedIpAdapter[], changes: Partial<Plan> = {}): Promise<Float64Array> {
  for await (const event of engine.run(planOf(ipAdapters, changes), new AbortController().signal))
    if (event.type === 'image') return Float64Array.from((await decodeImage(event.image.bytes)).data);
  throw new Error('the run ended without a picture');
}

const minus = (a: Float64Array, b: Float64Array) => a.map((value, i) => value - b[i]!);
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const distance = (a: Float64Array, b: Float64Array) => Math.sqrt(dot(minus(a, b), minus(a, b)) / a.length);
/** Tolerance in levels of 255 for rounding and the order of sums. */
const same = 0.1;

describe('weight', () => {
  test('0 is no influence: the picture is the one without an adapter, to the byte', async () => {
    expect(await paint([adapter({ weight: 0 })])).toEqual(plain);
  });

  test('moves the picture further the larger it is', async () => {
    const distances: number[] = [];
    for (const weight of [0.1, 0.3, 0.6, 1])
      distances.push(distance(await paint([adapter({ weight, embedScaling: 'only_v' })]), plain));
    expect(distances).toEqual(distances.toSorted((a, b) => a - b));
    expect(distances[0]!).toBeGreaterThan(0.5);
  });

  test('below 0 steers away: the picture moves the opposite way', async () => {
    const moved = async (weight: number) =>
      minus(await paint([adapter({ weight, embedScaling: 'only_v' })]), plain);
    const [towards, away] = [await moved(0.1), await moved(-0.1)];
    expect(dot(towards, away) / Math.sqrt(dot(towards, towards) * dot(away, away))).toBeLessThan(-0.8);
  });
});

describe('guideImages', () => {
  test('decide the picture', async () => {
    expect(distance(await paint([adapter()]), await paint([adapter({ guides: [sea] })]))).toBeGreaterThan(2);
  });

  test('of several, each counts, and in no order', async () => {
    const both = await paint([adapter({ guides: [sunset, sea] })]);
    expect(distance(both, await paint([adapter({ guides: [sea, sunset] })]))).toBeLessThan(same);
    for (const guides of [[sunset], [sea]])
      expect(distance(both, await paint([adapter({ guides })]))).toBeGreaterThan(1);
  });
});

describe('combineMethod', () => {
  test('a picture given twice is itself by concat and average, and more by add', async () => {
    const once = await paint([adapter()]);
    const twice = async (combineMethod: PlannedIpAdapter['combineMethod']) =>
      distance(await paint([adapter({ guides: [sunset, sunset], combineMethod })]), once);
    expect(await twice('concat')).toBeLessThan(same);
    expect(await twice('average')).toBeLessThan(same);
    expect(await twice('add')).toBeGreaterThan(0.2);
    expect(await twice('norm_average')).toBeGreaterThan(0.2);
  });

  test('subtract takes the others from the first, so that their order counts', async () => {
    const of = (guides: Uint8Array[]) => paint([adapter({ guides, combineMethod: 'subtract' })]);
    const apart = await of([sunset, sea]);
    expect(distance(apart, await of([sea, sunset]))).toBeGreaterThan(0.5);
    // The mean of a picture given twice is the picture.
    expect(distance(apart, await of([sunset, sea, sea]))).toBeLessThan(same);
  });
});

describe('embedScaling', () => {
  test('kv and kv_penalty_c are one on FLUX; the others differ', async () => {
    const of = (embedScaling: PlannedIpAdapter['embedScaling']) =>
      paint([adapter({ weight: 0.5, embedScaling })]);
    const [kv, penalty, values, mean] = [
      await of('kv'),
      await of('kv_penalty_c'),
      await of('only_v'),
      await of('k_mean_v_penalty_c'),
    ];
    expect(penalty).toEqual(kv);
    for (const [a, b] of [
      [kv, values],
      [kv, mean],
      [values, mean],
    ] as const)
      expect(distance(a, b)).toBeGreaterThan(0.1);
  });
});

describe('weightType and weightComposition', () => {
  const of = (changes: Partial<PlannedIpAdapter>) => paint([adapter(changes)]);

  test('composition and style_transfer are the two halves of normal: each alone moves the picture', async () => {
    const [normal, style, layout] = [
      await of({}),
      await of({ weightType: 'style_transfer' }),
      await of({ weightType: 'composition' }),
    ];
    for (const half of [style, layout]) {
      expect(distance(half, plain)).toBeGreaterThan(0.5);
      expect(distance(half, normal)).toBeGreaterThan(0.5);
    }
  });

  test('weightComposition is the weight of the composition where the type has one, and else nothing', async () => {
    const both = (weightComposition: number) =>
      of({ weightType: 'style_and_composition', weightComposition, weight: 0.7 });
    expect(await both(0.7)).toEqual(await of({ weight: 0.7 }));
    expect(await both(0)).toEqual(await of({ weight: 0.7, weightType: 'style_transfer' }));
    expect(await of({ weightComposition: 0 })).toEqual(await of({}));
  });
});

describe('an adapter for faces', () => {
  test('sees the square around the largest face, and a picture without one whole', async () => {
    const astronaut = await picture('astronaut.jpg');
    const detector = await drain(residents.acquire(faceDetector(bundledDetector, 1)));
    const [face] = (await findFaces(detector, astronaut, 0.9)) as [Face];
    const margin = 0.8 * Math.max(face.right - face.left, face.bottom - face.top);
    const [x, y] = [(face.left + face.right) / 2, (face.top + face.bottom) / 2];
    const [left, top, side] = [x - margin, y - margin, 2 * margin].map(Math.round) as [
      number,
      number,
      number,
    ];
    const cut = cropBitmap(astronaut, { width: side, height: side }, { left, top });
    const png = async (bitmap: Bitmap) => (await encodeImage(bitmap, 'png', 100)).bytes;
    const of = async (bitmap: Bitmap, faceDetector?: ToolSource) =>
      paint([adapter({ guides: [await png(bitmap)], faceDetector })]);
    const found = await of(astronaut, bundledDetector);
    expect(distance(found, await of(cut))).toBeLessThan(distance(found, await of(astronaut)) / 5);
    const coffee = await picture('coffee.jpg');
    expect(await of(coffee, bundledDetector)).toEqual(await of(coffee));
  });
});

test('several adapters add up, in any order', async () => {
  const [first, second] = [
    adapter(),
    adapter({ file: files[1]!, air: 'test:other@1', weight: -0.5, guides: [sea] }),
  ];
  const both = await paint([first, second]);
  expect(distance(both, await paint([second, first]))).toBeLessThan(same);
  for (const one of [first, second]) expect(distance(both, await paint([one]))).toBeGreaterThan(0.5);
});

test('a run without adapters after one with them is as before, to the byte', async () => {
  await paint([adapter()]);
  expect(await paint([])).toEqual(plain);
});

test('the transformer is compiled for adapters when one is asked for, and then serves every plan', async () => {
  const transformerFor = async (ipAdapters: PlannedIpAdapter[]) =>
    finish((await modelOf(planOf(ipAdapters))).transformer(100));
  const alone = await transformerFor([]);
  expect(await transformerFor([])).toBe(alone);
  const guided = await transformerFor([adapter()]);
  expect(guided).not.toBe(alone);
  expect(await transformerFor([])).toBe(guided);
});

test('the negative pass of true CFG sees a black picture', async () => {
  const black = { width: 9, height: 5, data: new Uint8Array(9 * 5 * 3) };
  const { bytes } = await encodeImage(black, 'png', 100);
  const encode = async (guides: Uint8Array[], trueCfg: number) => {
    const plan = planOf([adapter({ guides, weight: 0.8 })], { trueCfg });
    const model = await modelOf(plan);
    const findFace = async function* (image: Bitmap, source: ToolSource) {
      return largestFace(yield* model.faceDetector(source), image);
    };
    const tools = { model: model.opened, residents, findFace };
    return finish(encodeIpAdapters(model.ipAdapters, trueCfg > 1, tools));
  };
  const guided = await encode([sunset], 3);
  const asBlack = await encode([bytes], 1);
  expect(asBlack.negative).toBeUndefined();
  for (const [name, tensor] of Object.entries(guided.negative!)) {
    expect(tensor.data, name).toEqual(asBlack.given![name]!.data);
    if (name.endsWith('.v')) expect(tensor.data, name).not.toEqual(guided.given![name]!.data);
  }
  const [cfg, single] = [await paint([adapter()], { trueCfg: 3 }), await paint([adapter()])];
  expect(psnr(Uint8Array.from(cfg), Uint8Array.from(single))).toBeLessThan(40);
});

test('int8 stays near f32', async () => {
  const numerics = { ...plainNumerics, precision: 'int8' } as const;
  const [found, expected] = [await paint([adapter()], { numerics }), await paint([adapter()])];
  expect(psnr(Uint8Array.from(found), Uint8Array.from(expected))).toBeGreaterThan(35);
});

test('a guide image that is none is named', async () => {
  const guides = [sunset, Uint8Array.of(1, 2, 3)];
  await expect(paint([adapter({ guides })])).rejects.toMatchObject({
    code: 'guideUndecodable',
    message: expect.stringContaining('guide image 2 of the IP-Adapter test:style@1: The image'),
  });
});
