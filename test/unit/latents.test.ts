import { describe, expect, test } from 'vitest';
import { cropBitmap, fromPlanar, padBitmap, toPlanar } from '../../src/engine/image/pixels.ts';
import { nearestPreferredSize, padSize, preferredSizes } from '../../src/engine/image/sizes.ts';
import { addNoise, firstStep, keepOutside, latentMask } from '../../src/engine/latents/inpaint.ts';
import { drawNoise, pack, scaleLatent, unpack, unscaleLatent } from '../../src/engine/latents/packing.ts';
import { referenceIds } from '../../src/engine/latents/token-ids.ts';
import { roundToBfloat16 } from '../../src/engine/random/bfloat16.ts';
import { Generator, noiseStream } from '../../src/engine/random/torch-noise.ts';
import { euler } from '../../src/engine/samplers/euler.ts';

describe('packing', () => {
  test('takes two by two positions, channels first', () => {
    // Two channels of 2×4, numbered as they lie.
    const latent = Float32Array.from({ length: 16 }, (_, i) => i);
    const tokens = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
    expect([...pack(latent, { channels: 2, h: 2, w: 4 })]).toEqual(tokens);
  });

  test.each([1, 3, 16, 32])('of %i channels is undone by unpacking', (channels) => {
    const shape = { channels, h: 6, w: 10 };
    const latent = new Generator(1n).randn(channels * 60);
    expect(unpack(pack(latent, shape), shape)).toEqual(latent);
  });

  test('comes after noise is drawn', () => {
    const shape = { channels: 16, h: 12, w: 16 };
    const drawn = drawNoise(noiseStream(42n, 'f32'), shape);
    expect(unpack(drawn, shape)).toEqual(new Generator(42n).randn(16 * 12 * 16));
  });
});

test('scaling a latent is undone by unscaling it', () => {
  const flux = { scale: 0.3611, shift: 0.1159 };
  const z = Float32Array.of(0.1159, 1, -2);
  const x = scaleLatent(z, flux);
  expect(x[0]).toBeCloseTo(0, 6);
  expect(x[1]).toBeCloseTo((1 - 0.1159) * 0.3611, 6);
  unscaleLatent(x, flux).forEach((value, i) => {
    expect(value).toBeCloseTo(z[i]!, 6);
  });
});

test('references are laid out to the right of or below the canvas so far', () => {
  const [wide, below, right] = referenceIds(
    [
      { rows: 2, columns: 4 },
      { rows: 2, columns: 4 },
      { rows: 3, columns: 1 },
    ],
    'offset',
  );
  expect([...wide!.subarray(0, 3)]).toEqual([1, 0, 0]);
  expect([...below!.subarray(0, 3)]).toEqual([1, 2, 0]);
  expect([...right!.subarray(0, 3)]).toEqual([1, 0, 4]);
});

describe('sizes', () => {
  test('seventeen are preferred, each and its mirror, all divisible by 16', () => {
    expect(preferredSizes).toHaveLength(17);
    for (const { width, height } of preferredSizes) {
      expect([width % 16, height % 16]).toEqual([0, 0]);
      expect(preferredSizes).toContainEqual({ width: height, height: width });
    }
  });

  test('the nearest is by aspect ratio, not by area', () => {
    expect(nearestPreferredSize({ width: 300, height: 300 })).toEqual({ width: 1024, height: 1024 });
    expect(nearestPreferredSize({ width: 4000, height: 3000 })).toEqual({ width: 1184, height: 880 });
    expect(nearestPreferredSize({ width: 10, height: 9000 })).toEqual({ width: 672, height: 1568 });
    expect(nearestPreferredSize({ width: 9000, height: 10 })).toEqual({ width: 1568, height: 672 });
    for (const size of preferredSizes) expect(nearestPreferredSize(size)).toEqual(size);
  });

  test('a side the stride does not divide is padded up to it', () => {
    expect(padSize({ width: 672, height: 1568 }, 64)).toEqual({ width: 704, height: 1600 });
    expect(padSize({ width: 1024, height: 1024 }, 64)).toEqual({ width: 1024, height: 1024 });
  });
});

describe('pixels', () => {
  const bitmap = { width: 2, height: 2, data: Uint8Array.of(0, 1, 2, 10, 11, 12, 20, 21, 22, 255, 254, 253) };

  test('lie by channel, from -1 to 1, and come back exactly', () => {
    const planar = toPlanar(bitmap);
    expect(planar[0]).toBe(-1);
    expect(planar[3]).toBe(1);
    expect(planar[4]).toBeCloseTo(1 / 127.5 - 1, 6);
    expect(fromPlanar(planar, bitmap)).toEqual(bitmap);
  });

  test('of every value come back exactly', () => {
    const all = { width: 16, height: 16, data: Uint8Array.from({ length: 768 }, (_, i) => i / 3) };
    expect(fromPlanar(toPlanar(all), all)).toEqual(all);
  });

  test('beyond the range are clamped', () => {
    const { data } = fromPlanar(Float32Array.of(-7, 0, 7), { width: 1, height: 1 });
    expect([...data]).toEqual([0, 128, 255]);
  });

  test('are padded with their last column and row, and cropped again', () => {
    const padded = padBitmap(bitmap, { width: 3, height: 4 });
    const reds = padded.data.filter((_, i) => i % 3 === 0);
    expect([...reds]).toEqual([0, 10, 10, 20, 255, 255, 20, 255, 255, 20, 255, 255]);
    expect(cropBitmap(padded, bitmap)).toEqual(bitmap);
  });
});

describe('inpainting', () => {
  test('starts as far down the schedule as the strength leaves', () => {
    expect([1, 0.75, 0.5, 0.3, 0.01, 0].map((strength) => firstStep(20, strength))).toEqual([
      0, 5, 10, 14, 19, 20,
    ]);
    expect(firstStep(28, 0.3)).toBe(19);
  });

  test('keeps the original at the noise level of the sample where the mask is zero', () => {
    const init = Float32Array.of(1, 1, 1);
    const noise = Float32Array.of(3, 3, 3);
    expect([...addNoise(init, noise, 0.5)]).toEqual([2, 2, 2]);
    const x = Float32Array.of(9, 9, 9);
    expect([...keepOutside(x, { init, noise, mask: Float32Array.of(0, 1, 0.5) }, 0.5)]).toEqual([2, 9, 5.5]);
    expect([...keepOutside(x, { init, noise, mask: Float32Array.of(0, 0, 0) }, 0)]).toEqual([1, 1, 1]);
  });

  test('repaints where the mask is at least half white', () => {
    const mask = { width: 4, height: 2, data: Uint8Array.of(0, 255, 128, 0, 255, 255, 127, 255) };
    expect([...latentMask(mask, { channels: 2, h: 1, w: 2 })]).toEqual([0, 1, 0, 1]);
    expect([...latentMask(mask, { channels: 1, h: 2, w: 4 })]).toEqual([0, 1, 1, 0, 1, 1, 0, 1]);
  });
});

test('a sampler goes on from the sample its caller put in place', async () => {
  const seen: number[] = [];
  const model = async (x: Float32Array) => {
    seen.push(x[0]!);
    return new Float32Array(1);
  };
  const noise = () => new Float32Array(1);
  for await (const step of euler(model, Float32Array.of(1), { sigmas: Float64Array.of(1, 0.5, 0), noise })) {
    step.x = Float32Array.of(step.x[0]! + 10);
  }
  expect(seen).toEqual([1, 11]);
});

test('a sampler stops asking the model when its caller stops', async () => {
  let calls = 0;
  const model = async (x: Float32Array) => {
    calls++;
    return x;
  };
  const noise = () => new Float32Array(1);
  for await (const step of euler(model, Float32Array.of(1), {
    sigmas: Float64Array.of(1, 0.6, 0.3, 0),
    noise,
  })) {
    if (step.index === 0) break;
  }
  expect(calls).toBe(1);
});

test('bfloat16 rounds to the nearest, ties to even', () => {
  expect([752.2, 1, 2.5, 1000 / 3, -0.1].map(roundToBfloat16)).toEqual([752, 1, 2.5, 334, -0.10009765625]);
  expect([1 + 2 ** -8, 1 + 3 * 2 ** -8].map(roundToBfloat16)).toEqual([1, 1 + 2 ** -6]);
  expect(roundToBfloat16(Number.NaN)).toBeNaN();
  expect(roundToBfloat16(Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY);
  expect(roundToBfloat16(3.4e38)).toBe(Number.POSITIVE_INFINITY);
});
