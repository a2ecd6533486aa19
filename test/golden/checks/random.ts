/** Noise against torch's: noise.safetensors and rng.json. */
import fs from 'node:fs';
import { roundToBfloat16 } from '../../../src/engine/random/bfloat16.ts';
import { Philox } from '../../../src/engine/random/philox.ts';
import { Generator } from '../../../src/engine/random/torch-noise.ts';
import { noise as tolerance } from '../tolerance.ts';
import { compared, type Lines, Tensors } from './check.ts';

/** seed<seed>.<what>.<numerics>; what is drawn `then` follows `batch2` from the same generator. */
export async function* checkNoise(file: string): Lines {
  const io = new Tensors(file);
  for (const name of io.names) {
    const [, seed, what, numerics] = name.match(/^seed(\d+)\.(.*)\.(f32|bf16legacy)$/) ?? [];
    if (seed === undefined) {
      yield { name: `noise ${name}`, skipped: 'the name is not seed<seed>.<what>.<f32|bf16legacy>' };
      continue;
    }
    const expected = io.floats(name);
    const generator = new Generator(BigInt(seed));
    if (what!.startsWith('then.')) generator.randn(2 * expected.length);
    const found = generator.randn(expected.length, numerics === 'f32' ? 'f32' : 'bf16_legacy');
    yield compared(`noise ${name}`, found, expected, numerics === 'f32' ? tolerance : 0);
  }
}

export async function* checkRng(file: string): Lines {
  const table = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;
  for (const [key, value] of Object.entries(table)) {
    const name = `rng ${key}`;
    const [, seed] = key.match(/seed(\d+)/) ?? [];
    const generator = seed === undefined ? undefined : new Generator(BigInt(seed));
    // Entries without a seed are notes on the origin of the numbers and on torch's behaviour with other types.
    if (seed === undefined || !generator) continue;
    if (key.startsWith('philox_raw_')) {
      const index = Number(key.match(/idx(\d+)/)?.[1] ?? 0);
      const expected = (value as string[]).map(Number);
      yield compared(name, new Philox(BigInt(seed)).words(index), expected, 0);
    } else if (key.startsWith('philox_')) {
      const expected = (value as number[][]).flat();
      yield compared(name, new Philox(BigInt(seed)).randn(expected.length), expected, tolerance);
    } else if (/^randn_seed\d+_n\d+$/.test(key)) {
      const expected = value as number[];
      yield compared(name, generator.randn(expected.length), expected, tolerance);
    } else if (/^bf16_seed\d+_n\d+$/.test(key)) {
      const expected = value as number[];
      yield compared(name, Array.from(generator.randn(expected.length), roundToBfloat16), expected, 0);
    } else if (/^randn_seed\d+_\(/.test(key)) {
      const { first16, last16 } = value as { first16: number[]; last16: number[] };
      const count = key
        .match(/\((.*)\)/)![1]!
        .split(',')
        .reduce((product, side) => product * Number(side), 1);
      const found = generator.randn(count);
      const ends = [...found.subarray(0, 16), ...found.subarray(-16)];
      yield compared(name, ends, [...first16, ...last16], tolerance);
    } else if (key.includes('_seq_randn')) {
      const draws = value as number[][];
      const found = draws.flatMap((draw) => [...generator.randn(draw.length)]);
      yield compared(name, found, draws.flat(), tolerance);
    } else if (key.includes('_rand_u24_')) {
      const expected = value as number[];
      yield compared(name, generator.rand(expected.length), expected, 0);
    } else if (key.startsWith('mt19937_raw_')) {
      const expected = value as number[];
      yield compared(
        name,
        Array.from(expected, () => generator.word()),
        expected,
        0,
      );
    } else {
      yield { name, skipped: 'the key says nothing this command checks' };
    }
  }
}
