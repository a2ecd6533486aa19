/** The effect of each setting of face refinement on a photograph, with the embedded model and the bundled detector. */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { LoraCache } from '../../src/engine/adapters/lora/cache.ts';
import type { Bitmap } from '../../src/engine/image/pixels.ts';
import { Residents } from '../../src/engine/networks/residents.ts';
import { EncodingMemo } from '../../src/engine/pipeline/encode.ts';
import { cropRegion, faceMask, maskPixels } from '../../src/engine/pipeline/face-mask.ts';
import { type Model, openModel } from '../../src/engine/pipeline/model.ts';
import { refineFaces } from '../../src/engine/pipeline/refine-faces.ts';
import type { EngineEvent, Face, FaceRefinement, Plan } from '../../src/engine/plan.ts';
import { picture, sideBySide } from '../fixtures/photos.ts';
import { scriptedPlan } from '../fixtures/plans.ts';
import { bundledDetector, drain } from '../fixtures/tools.ts';

const settings: FaceRefinement = {
  detector: bundledDetector,
  confidence: 0.9,
  maskPadding: 5,
  maskBlur: 5,
  prompt: 'a face',
  negativePrompt: '',
  steps: 4,
  guidance: 8,
  strength: 0.5,
};

const folder = fileURLToPath(new URL('../../model', import.meta.url));
const plan: Plan = scriptedPlan('make it so', {
  model: { air: 'retouch:mini@1', files: { layout: 'diffusers', folder }, cacheFolder: 'none' },
  seed: 7n,
});

const options = { threads: 2, memoryLimit: 2 ** 31, log: () => {} };
const loras = new LoraCache({ limit: 0, threads: options.threads });
const residents = new Residents(options.memoryLimit, loras);
const memo = new EncodingMemo();
let model: Model;
let astronaut: Bitmap;
beforeAll(async () => {
  model = await drain(openModel(plan, { residents, loras, limits: options }));
  astronaut = await picture('astronaut.jpg');
});

type Refined = { result: Bitmap; faces: Face[]; events: EngineEvent[] };

async function refine(
  bitmap: Bitmap,
  changes: Partial<FaceRefinement> = {},
  planned: Partial<Plan> = {},
  signal = new AbortController().signal,
): Promise<Refined> {
  const run = { plan: { ...plan, ...planned }, model, memo, signal, log: options.log };
  const work = refineFaces(run, { ...settings, ...changes }, bitmap);
  const events: EngineEvent[] = [];
  let faces: Face[] = [];
  for (;;) {
    const next = await work.next();
    if (next.done) return { result: next.value, faces, events };
    events.push(next.value);
    if (next.value.type === 'faces-end') faces = next.value.faces;
  }
}

/** How much each pixel changed: the largest difference of its colours. */
function changesOf(before: Bitmap, after: Bitmap): Uint8Array {
  const out = new Uint8Array(before.width * before.height);
  for (let p = 0; p < out.length; p++)
    for (let c = 0; c < 3; c++)
      out[p] = Math.max(out[p]!, Math.abs(before.data[3 * p + c]! - after.data[3 * p + c]!));
  return out;
}

/** The smallest box around all pixels that changed. */
function boxOf(changes: Uint8Array, width: number) {
  let [left, top, right, bottom] = [width, changes.length, 0, 0];
  for (const [p, change] of changes.entries()) {
    if (change === 0) continue;
    const [x, y] = [p % width, Math.floor(p / width)];
    [left, top, right, bottom] = [
      Math.min(left, x),
      Math.min(top, y),
      Math.max(right, x + 1),
      Math.max(bottom, y + 1),
    ];
  }
  return { left, top, right, bottom };
}

/** Byte for byte; a test runner's own comparison of megabytes takes seconds. */
const isSame = (a: Bitmap, b: Bitmap) => Buffer.compare(a.data, b.data) === 0;

const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

/** Between two pictures, the mean difference over a face's box. */
function differenceInside(a: Bitmap, b: Bitmap, { left, top, right, bottom }: Face): number {
  const changes = changesOf(a, b);
  let total = 0;
  for (let y = Math.ceil(top); y < bottom; y++)
    total += sum(changes.subarray(y * a.width + Math.ceil(left), y * a.width + Math.floor(right)));
  return total / ((right - left) * (bottom - top));
}

describe('the mask', () => {
  const box = { left: 100.4, top: 80.6, right: 160.2, bottom: 150 };
  const size = { width: 400, height: 300 };
  const pixel = (padding: number, blur: number, x: number, y: number) => {
    const whole = { left: 0, top: 0, right: size.width, bottom: size.height };
    return maskPixels(faceMask(box, size, { padding, blur }), whole).data[y * size.width + x]!;
  };

  test('without blur is the whole pixels of the box, grown by the padding on each side', () => {
    for (const padding of [0, 5, 20]) {
      const [left, right, top, bottom] = [100 - padding, 160 + padding, 80 - padding, 149 + padding];
      for (const [x, y] of [
        [left, top],
        [right, bottom],
      ] as const)
        expect(pixel(padding, 0, x, y)).toBe(255);
      for (const [x, y] of [
        [left - 1, top],
        [left, top - 1],
        [right + 1, bottom],
        [right, bottom + 1],
      ] as const)
        expect(pixel(padding, 0, x, y)).toBe(0);
    }
  });

  test('with blur σ falls as a Gaussian of that σ, one half at the edge, cut off after two and a half of it', () => {
    const sigma = 8;
    // The edge lies between two pixels: half a pixel on each side of it.
    const gauss = (x: number) => Math.exp(-(x ** 2) / (2 * sigma ** 2));
    const kernel = Array.from({ length: 41 }, (_, i) => gauss(i - 20));
    for (const inside of [-20, -8, -1, 0, 7, 15]) {
      const expected = sum(kernel.slice(0, 21 + inside)) / sum(kernel);
      expect(Math.abs(pixel(0, sigma, 100 + inside, 115) - 255 * expected)).toBeLessThan(1);
    }
    expect(pixel(0, sigma, 100 - 21, 115)).toBe(0);
    expect(pixel(0, sigma, 130, 115)).toBe(255);
  });

  test('at the border of the picture stays white', () => {
    const corner = { left: -20, top: -5, right: 60, bottom: 60 };
    const { data } = maskPixels(faceMask(corner, size, { padding: 5, blur: 10 }), {
      left: 0,
      top: 0,
      right: 400,
      bottom: 300,
    });
    expect(data[0]).toBe(255);
    expect(data[100]).toBe(0);
  });

  test('is cut out with 32 pixels around it, at the ratio of the nearest size, inside the picture', () => {
    const { region, size: worked } = cropRegion(faceMask(box, size, { padding: 5, blur: 0 }), size);
    // 71 by 80 with padding, 135 by 144 with surroundings: nearest is 944×1104 (0.855), 0.9375 is nearer to 1024².
    expect(worked).toEqual({ width: 1024, height: 1024 });
    expect(region).toEqual({ left: 95 - 32 - 4, right: 166 + 32 + 5, top: 75 - 32, bottom: 155 + 32 });
    const wide = cropRegion(
      faceMask({ left: 0, top: 0, right: 400, bottom: 20 }, size, { padding: 0, blur: 0 }),
      size,
    );
    expect(wide.size).toEqual({ width: 1568, height: 672 });
    expect(wide.region).toEqual({ left: 0, right: 400, top: 0, bottom: 171 });
  });

  test('reaches as far as its blur does not round to black, which the part that is worked on holds', () => {
    const mask = faceMask(box, size, { padding: 5, blur: 20 });
    const whole = { left: 0, top: 0, right: size.width, bottom: size.height };
    const all = sum(maskPixels(mask, whole).data);
    expect(sum(maskPixels(mask, cropRegion(mask, size).region).data)).toBe(all);
  });
});

describe('a photograph with a face', () => {
  let plain: Refined;
  beforeAll(async () => {
    plain = await refine(astronaut);
  });

  test('has it found and painted again, and no byte changed outside the mask', () => {
    expect(plain.faces).toHaveLength(1);
    const face = plain.faces[0]!;
    expect(face.score).toBeGreaterThan(0.95);
    const changes = changesOf(astronaut, plain.result);
    const box = boxOf(changes, astronaut.width);
    // 5 pixels of padding and 13 that a blur of 5 reaches.
    expect(box.left).toBeGreaterThanOrEqual(Math.floor(face.left) - 18);
    expect(box.right).toBeLessThanOrEqual(Math.ceil(face.right) + 18);
    expect(box.top).toBeGreaterThanOrEqual(Math.floor(face.top) - 18);
    expect(box.bottom).toBeLessThanOrEqual(Math.ceil(face.bottom) + 18);
    expect(differenceInside(astronaut, plain.result, face)).toBeGreaterThan(2);
  });

  test('gives the same bytes for the same plan, and others for another seed', async () => {
    expect(isSame((await refine(astronaut)).result, plain.result)).toBe(true);
    expect(isSame((await refine(astronaut, {}, { seed: 8n })).result, plain.result)).toBe(false);
  });

  test('tells of its steps: strength × steps of them', async () => {
    const messages = (events: EngineEvent[]) =>
      events.flatMap((event) =>
        event.type === 'stage-progress' && / step /.test(event.message) ? [event.message] : [],
      );
    expect(messages(plain.events)).toEqual(['face 1 of 1, step 1 of 2', 'face 1 of 1, step 2 of 2']);
    const more = await refine(astronaut, { steps: 6, strength: 0.5 });
    expect(messages(more.events)).toHaveLength(3);
    for (const event of more.events) if (event.type === 'stage-progress') expect(event.stage).toBe('faces');
  });

  test('stops between steps', async () => {
    const stop = new AbortController();
    const run = { plan, model, memo, signal: stop.signal, log: options.log };
    const seen: string[] = [];
    const work = async () => {
      for await (const event of refineFaces(run, settings, astronaut)) {
        if (event.type !== 'stage-progress') continue;
        seen.push(event.message);
        if (/step 1/.test(event.message)) stop.abort();
      }
    };
    await expect(work()).rejects.toMatchObject({ code: 'engineAborted' });
    expect(seen.at(-1)).toBe('face 1 of 1, step 1 of 2');
  });

  test('strength: 0 leaves every byte, and more of it changes more', async () => {
    expect(isSame((await refine(astronaut, { strength: 0 })).result, astronaut)).toBe(true);
    const face = plain.faces[0]!;
    const weak = await refine(astronaut, { strength: 0.25 });
    const strong = await refine(astronaut, { strength: 1 });
    const change = ({ result }: Refined) => differenceInside(astronaut, result, face);
    expect(change(weak)).toBeLessThan(change(plain));
    expect(change(plain)).toBeLessThan(change(strong));
  });

  test('confidence: above the score of the face nothing is refined, below it the face is', async () => {
    const { score } = plain.faces[0]!;
    const above = await refine(astronaut, { confidence: Math.min(score + 0.01, 1) });
    expect(above.faces).toEqual([]);
    expect(isSame(above.result, astronaut)).toBe(true);
    expect((await refine(astronaut, { confidence: score - 0.01 })).faces).toHaveLength(1);
  });

  test('maskPadding: a larger one changes a larger part', async () => {
    const box = async (maskPadding: number) => {
      const { result } = await refine(astronaut, { maskPadding, maskBlur: 0 });
      return boxOf(changesOf(astronaut, result), astronaut.width);
    };
    const [none, much] = [await box(0), await box(20)];
    for (const side of ['left', 'top'] as const) expect(none[side] - much[side]).toBeGreaterThan(15);
    for (const side of ['right', 'bottom'] as const) expect(much[side] - none[side]).toBeGreaterThan(15);
  });

  test('maskBlur: a larger one makes a softer edge that reaches further', async () => {
    const face = plain.faces[0]!;
    const edge = async (maskBlur: number) => {
      const { result } = await refine(astronaut, { maskBlur, maskPadding: 0, strength: 1 });
      const changes = changesOf(astronaut, result);
      const box = boxOf(changes, astronaut.width);
      // Mean change on the columns left of the face, from far to near.
      const column = (x: number) => {
        const rows = Array.from(
          { length: Math.floor(face.bottom - face.top) - 60 },
          (_, i) => i + face.top + 30,
        );
        return sum(rows.map((y) => changes[Math.floor(y) * astronaut.width + x]!)) / rows.length;
      };
      const left = Math.floor(face.left);
      return { reach: left - box.left, jump: column(left) - column(left - 1) };
    };
    const [hard, soft] = [await edge(0), await edge(20)];
    expect(hard.reach).toBeLessThanOrEqual(0);
    expect(soft.reach).toBeGreaterThan(20);
    expect(hard.jump).toBeGreaterThan(4 * soft.jump);
  });

  test('positivePrompt, steps and CFGScale each decide what is painted, inside the mask only', async () => {
    const changes: Partial<FaceRefinement>[] = [
      { prompt: 'make it a red circle' },
      { steps: 8 },
      { guidance: 1 },
    ];
    for (const change of changes) {
      const other = await refine(astronaut, change);
      expect(isSame(other.result, plain.result)).toBe(false);
      const { left, right, top, bottom } = boxOf(changesOf(astronaut, other.result), astronaut.width);
      const face = plain.faces[0]!;
      expect(left).toBeGreaterThanOrEqual(Math.floor(face.left) - 18);
      expect(right).toBeLessThanOrEqual(Math.ceil(face.right) + 18);
      expect([top >= Math.floor(face.top) - 18, bottom <= Math.ceil(face.bottom) + 18]).toEqual([true, true]);
    }
  });

  test('negativePrompt: is what a true CFG above 1 leads away from, and nothing without', async () => {
    const negativePrompt = 'make it a red circle';
    expect(isSame((await refine(astronaut, { negativePrompt })).result, plain.result)).toBe(true);
    const guided = await refine(astronaut, {}, { trueCfg: 3 });
    const against = await refine(astronaut, { negativePrompt }, { trueCfg: 3 });
    expect(isSame(against.result, guided.result)).toBe(false);
  });

  test('leaves no adapter, preview or second refinement of the picture behind', async () => {
    const faces = { ...settings, strength: 1 };
    const same = await refine(astronaut, {}, { previewEvery: 1, faces, width: 672, height: 1568 });
    expect(isSame(same.result, plain.result)).toBe(true);
    expect(same.events.some(({ type }) => type === 'preview')).toBe(false);
  });
});

test('a photograph without a face comes back as the bitmap it was', async () => {
  const coffee = await picture('coffee.jpg');
  const { result, faces } = await refine(coffee);
  expect(faces).toEqual([]);
  expect(result).toBe(coffee);
});

test('several faces are refined in turn, the largest first, each with the next seed and on what came before', async () => {
  const small = { width: 256, height: 256, data: new Uint8Array(256 * 256 * 3) };
  for (let y = 0; y < 256; y++)
    for (let x = 0; x < 256; x++)
      small.data.set(astronaut.data.subarray((2 * y * 512 + 2 * x) * 3).subarray(0, 3), (y * 256 + x) * 3);
  const group = sideBySide(small, astronaut);
  const both = await refine(group, { confidence: 0.5 });
  expect(both.faces).toHaveLength(2);
  const [large, little] = both.faces as [Face, Face];
  expect(large.left).toBeGreaterThan(256);
  expect(little.right).toBeLessThan(256);
  for (const face of both.faces) expect(differenceInside(group, both.result, face)).toBeGreaterThan(2);
  // The little one alone, on the picture with the large one refined, with the next seed.
  const again = await refine(both.result, { strength: 0, confidence: 0.5 });
  expect(isSame(again.result, both.result)).toBe(true);
  const first = both.events.findIndex((event) => 'message' in event && /face 2 of 2/.test(event.message));
  const last = both.events.findLastIndex((event) => 'message' in event && /face 1 of 2/.test(event.message));
  expect(last).toBeLessThan(first);
});
