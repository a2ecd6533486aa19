import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { roundToBfloat16 } from '../../src/engine/random/bfloat16.ts';
import { Philox } from '../../src/engine/random/philox.ts';
import { Generator, noiseStream } from '../../src/engine/random/torch-noise.ts';
import { difference } from './compare.ts';
import { goldenFile, openGolden } from './data.ts';

const noise = openGolden('noise.safetensors');
const rng = JSON.parse(readFileSync(goldenFile('rng.json'), 'utf8'));

/** torch's vectorised logarithm and sine are themselves only this close to the true ones. */
const tolerance = 1e-6;
const close = (found: ArrayLike<number>, expected: ArrayLike<number>) =>
  expect(difference(found, expected).maxAbs).toBeLessThanOrEqual(tolerance);

describe('noise is what torch draws from the same seed', () => {
  // seed<seed>.<what>.<numerics>; `then` is drawn after `batch2`, from the same generator.
  test.each(noise.names)('%s', (name) => {
    const [, seed, what, numerics] = /^seed(\d+)\.(.*)\.(f32|bf16legacy)$/.exec(name)!;
    const expected = noise.floats(name);
    const generator = new Generator(BigInt(seed!));
    if (what!.startsWith('then.')) generator.randn(2 * expected.length);
    const found = generator.randn(expected.length, numerics === 'f32' ? 'f32' : 'bf16_legacy');
    if (numerics === 'f32') close(found, expected);
    else expect(found).toEqual(expected);
  });

  test.each(Object.keys(rng).filter((key) => /^randn_seed\d+_n\d+$/.test(key)))('%s', (key) => {
    const [, seed, count] = /^randn_seed(\d+)_n(\d+)$/.exec(key)!;
    close(new Generator(BigInt(seed!)).randn(Number(count)), rng[key]);
  });

  test('for a whole latent of a 1024×1024 image', () => {
    const expected = rng['randn_seed42_(1,16,128,128)'];
    const found = new Generator(42n).randn(16 * 128 * 128);
    close(found.subarray(0, 16), expected.first16);
    close(found.subarray(-16), expected.last16);
    expect(found.reduce((sum, value) => sum + value, 0)).toBeCloseTo(expected.sum, 2);
    expect(found.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(expected.sumsq, 1);
  });
});

test('a small draw leaves its second value to the next small draw, and a large one passes it by', () => {
  const generator = new Generator(42n);
  for (const expected of rng.seed42_seq_randn5_then_randn5_then_randn16) {
    close(generator.randn(expected.length), expected);
  }
});

test('uniform numbers are the low 24 bits of the words', () => {
  expect([...new Generator(42n).rand(8)]).toEqual(rng.seed42_rand_u24_first8);
});

test('the words are those of mt19937', () => {
  const generator = new Generator(42n);
  expect(Array.from({ length: 4 }, () => generator.word())).toEqual(rng.mt19937_raw_seed42_first4);
});

test('the ten-thousandth word of seed 5489 is the one the C++ standard names', () => {
  const generator = new Generator(5489n);
  for (let i = 1; i < 10_000; i++) generator.word();
  expect(generator.word()).toBe(4123659995);
});

test('Philox draws what the web UIs draw on an NVIDIA GPU', () => {
  const expected = rng.philox_webui_seed0_3x4.flat();
  close(noiseStream(0n, 'philox')(expected.length), expected);
  expect(new Philox(0n).words(0)).toEqual(rng.philox_raw_seed0_idx0.map(Number));
  const twice = noiseStream(7n, 'philox');
  expect(twice(20)).not.toEqual(twice(20));
  expect(noiseStream(2n ** 32n, 'philox')(20)).not.toEqual(noiseStream(0n, 'philox')(20));
});

test('only the low 32 bits of a seed count', () => {
  expect(new Generator(2n ** 63n - 1n).randn(20)).toEqual(new Generator(2n ** 32n - 1n).randn(20));
});

test('what torch now draws in bfloat16 is the f32 noise rounded', () => {
  const found = Array.from(new Generator(42n).randn(16), roundToBfloat16);
  expect(found).toEqual(rng.bf16_seed42_n16);
});
