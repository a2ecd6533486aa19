/** Conversions of weights on several threads, and the fast paths of their loops against the plain formulas. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { emptyColumns, placeCodes, placeRows } from '../../src/engine/weights/columns.ts';
import { convertedLayer, type PrecisionName } from '../../src/engine/weights/conversion/layers.ts';
import { convertAll } from '../../src/engine/weights/conversion/threads.ts';
import { prefixed } from '../../src/engine/weights/dialects/index.ts';
import { float8 } from '../../src/engine/weights/float8.ts';
import { openPrepared } from '../../src/engine/weights/prepared.ts';
import { roundHalfUp } from '../../src/engine/weights/rounding.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { transposeBytes } from '../../src/engine/weights/transpose.ts';
import { finish } from '../fixtures/preparing.ts';
import { type StoredTensor, writeSafetensors } from '../fixtures/write-safetensors.ts';

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-conversion-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Codes of finite numbers, different for each seed. */
function fp8(rows: number, columns: number, seed: number): StoredTensor {
  const bytes = new Uint8Array(rows * columns);
  for (let i = 0, state = seed; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const code = state >>> 24;
    bytes[i] = (code & 0x7f) === 0x7f ? 0 : code;
  }
  return { dtype: 'F8_E4M3', shape: [rows, columns], bytes };
}

/** A checkpoint with the layers 0.weight, 1.weight, … */
function sourceOf(name: string, layers: readonly StoredTensor[]): WeightSource {
  const file = path.join(folder, name);
  writeSafetensors(file, Object.fromEntries(layers.map((layer, i) => [`${i}.weight`, layer])));
  return new WeightSource(openCheckpoint(file), [prefixed('plain', '', '0.weight')]);
}

function linearsOf(layers: readonly StoredTensor[]) {
  return layers.map(({ shape }, i) => ({
    name: String(i),
    outputs: shape[0]!,
    inputs: shape[1]!,
    precise: false,
  }));
}

describe('on several threads', () => {
  // Sizes that end neither with a tile, nor a block, nor a word.
  const small = [fp8(96, 64, 1), fp8(71, 50, 2), fp8(200, 33, 3), fp8(64, 256, 4), fp8(4, 4, 5)];
  const source = sourceOf('small.safetensors', small);
  const conversions = (precision: PrecisionName) =>
    linearsOf(small).flatMap((linear) => convertedLayer(source, linear, precision)!.conversions);
  const bytesOf = async (precision: PrecisionName, threads: number) => {
    const bytes: Buffer[] = [];
    for await (const results of convertAll(conversions(precision), threads))
      for (const { buffer, byteOffset, byteLength } of results)
        bytes.push(Buffer.from(buffer, byteOffset, byteLength));
    return Buffer.concat(bytes);
  };

  it.each<PrecisionName>(['int8', 'int4', 'int8-blocks', 'f16'])(
    'the bytes and their order are those of one thread, in %s',
    async (precision) => {
      const one = await bytesOf(precision, 1);
      expect(one.length).toBe(conversions(precision).reduce((sum, { bytes }) => sum + bytes, 0));
      expect((await bytesOf(precision, 3)).equals(one)).toBe(true);
    },
  );

  it('the file is the same, and a caller that stops after a layer leaves nothing', async () => {
    // Large enough that threads are started: 16 MiB of results for each.
    const large = [fp8(4096, 4096, 6), fp8(2048, 4096, 7), fp8(4096, 4096, 8)];
    const source = sourceOf('large.safetensors', large);
    const making = (name: string, threads: number) =>
      openPrepared(source, linearsOf(large), {
        precision: 'int8',
        file: path.join(folder, name, 'int8.safetensors'),
        threads,
      });
    for await (const { done, total } of making('stopped', 2)) {
      expect(done).toBeLessThan(total);
      break;
    }
    expect(fs.readdirSync(path.join(folder, 'stopped'))).toEqual([]);
    const { fractions } = await finish(making('two', 2));
    expect(fractions).toHaveLength(large.length);
    await finish(making('one', 1));
    const [one, two] = ['one', 'two'].map((name) =>
      fs.readFileSync(path.join(folder, name, 'int8.safetensors')),
    );
    expect(two!.equals(one!)).toBe(true);
  });

  it('a layer that cannot be converted is the one error, with its name and code', async () => {
    const damaged = fp8(64, 64, 9);
    damaged.bytes[77] = 0x7f;
    const layers = [fp8(64, 64, 10), damaged, fp8(64, 64, 11)];
    const source = sourceOf('damaged.safetensors', layers);
    const conversions = linearsOf(layers).flatMap((l) => convertedLayer(source, l, 'int8')!.conversions);
    const run = async () => {
      let count = 0;
      for await (const _ of convertAll(conversions, 2)) expect(++count).toBe(1);
    };
    await expect(run()).rejects.toMatchObject({
      code: 'checkpointInvalid',
      message: expect.stringContaining('tensor 1.weight has numbers that are not finite'),
    });
  });

  it.each([0, 200])('a thread that dies is one error, asked for more after %i ms', async (pause) => {
    const module = new URL('../fixtures/scripted-conversion.ts', import.meta.url);
    const run = async () => {
      // The first two conversions are answered.
      for await (const _ of convertAll(conversions('int8'), 2, module)) await setTimeout(pause);
    };
    await expect(run()).rejects.toMatchObject({
      code: 'conversionFailed',
      message: 'A thread that converts weights failed: it ended with exit code 3',
    });
  });
});

describe('rounding', () => {
  it('is Math.round, ties and their neighbours included', () => {
    const buffer = new Float64Array(1);
    const bits = new BigInt64Array(buffer.buffer);
    for (let tie = -128.5; tie <= 128.5; tie += 0.5)
      for (let step = -2n; step <= 2n; step++) {
        buffer[0] = tie;
        bits[0]! += step;
        const value = buffer[0]!;
        // −0 and 0 are the same integer.
        expect(roundHalfUp(value) + 0, String(value)).toBe(Math.round(value) + 0);
      }
  });

  it('of codes is that of their numbers, with a factor for each row and a row of zeros', () => {
    const [rows, inputs] = [70, 52];
    for (const dtype of ['F8_E4M3', 'F8_E5M2'] as const) {
      const values = float8[dtype];
      const codes = fp8(rows, inputs, 12).bytes.map((code) => (Number.isFinite(values[code]) ? code : 0));
      codes.fill(0x80, inputs, 2 * inputs);
      const factors = Float32Array.from({ length: rows }, (_, row) => Math.sin(row + 1) / 300);
      const floats = Float32Array.from(codes, (code, i) => values[code]! * factors[Math.floor(i / inputs)]!);
      const [expected, found] = [emptyColumns(rows, inputs), emptyColumns(rows, inputs)];
      placeRows(expected, floats, 0);
      expect(placeCodes(found, { codes, values, factors }, 0)).toBe(true);
      expect(found).toEqual(expected);
      for (let n = 0; n < rows; n++)
        for (let k = 0; k < inputs; k++)
          expect(
            Math.abs(found.values[k * rows + n]! * found.scale[n]! - floats[n * inputs + k]!),
          ).toBeLessThanOrEqual(0.5001 * found.scale[n]!);
      codes[5] = 0x7f;
      expect(placeCodes(found, { codes, values, factors }, 0)).toBe(false);
    }
  });

  it.each([
    [8, 12, 4],
    [7, 12, 4],
    [8, 9, 4],
    [8, 12, 3],
  ])('a matrix of %i by %i bytes is transposed to column %i on', (rows, columns, at) => {
    const stride = 16;
    const bytes = Int8Array.from({ length: rows * stride }, (_, i) => (i * 37) % 256);
    const to = new Int8Array(columns * 20).fill(99);
    transposeBytes({ bytes, stride, rows, columns }, to, { stride: 20, at });
    for (let k = 0; k < columns; k++)
      for (let n = 0; n < 20; n++)
        expect(to[k * 20 + n]).toBe(n < at || n >= at + rows ? 99 : bytes[(n - at) * stride + k]);
  });
});
