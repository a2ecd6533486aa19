import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Graph } from '../../src/engine/onnx/graph.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { prefixed } from '../../src/engine/weights/dialects/index.ts';
import { toFloats } from '../../src/engine/weights/floats.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { Weights } from '../../src/engine/weights/weights.ts';
import { RetouchError } from '../../src/error.ts';
import { f32, writeSafetensors, writeWithHeader } from '../fixtures/write-safetensors.ts';

// ONNX Runtime is given the real path, and so are messages about tensors.
const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-checkpoint-')));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const at = (...names: string[]) => path.join(folder, ...names);
const sourceOf = (where: string) => new WeightSource(openCheckpoint(where), [prefixed('plain', '', 'probe')]);
const weightsOf = (where: string) =>
  new Weights(new Graph('test'), sourceOf(where), { precision: 'f32', fused: true });

function fails(action: () => unknown, code: string, ...parts: (string | RegExp)[]): void {
  let error: unknown;
  try {
    action();
  } catch (caught) {
    error = caught;
  }
  if (!(error instanceof RetouchError)) throw error ?? new Error('no error was thrown');
  expect(error.code, error.message).toBe(code);
  for (const part of parts) expect(error.message).toMatch(part);
}

describe('a checkpoint', () => {
  const good = at('good.safetensors');
  writeSafetensors(
    good,
    {
      probe: f32([0]),
      matrix: f32([1, 2, 3, 4, 5, 6], [3, 2]),
      double: { dtype: 'F64', shape: [1], bytes: new Uint8Array(8) },
      packed: { dtype: 'F4', shape: [16], bytes: new Uint8Array(8) },
    },
    { made: 'here' },
  );

  test('that is whole gives its tensors and metadata', () => {
    const checkpoint = openCheckpoint(good);
    expect([...checkpoint.tensors.keys()]).toEqual(['probe', 'matrix', 'double', 'packed']);
    expect(checkpoint.metadata).toEqual({ made: 'here' });
    expect([...sourceOf(good).floats('matrix')]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...sourceOf(good).rows('matrix', [2, 0, 2])]).toEqual([5, 6, 1, 2, 5, 6]);
  });

  test('that is not there is said to be missing', () => {
    fails(() => openCheckpoint(at('none')), 'modelFileMissing', at('none'));
  });

  test('that was cut short says how many bytes it has and should have', () => {
    const { size } = fs.statSync(good);
    const cut = at('cut.safetensors');
    fs.writeFileSync(cut, fs.readFileSync(good).subarray(0, size - 5));
    fails(() => openCheckpoint(cut), 'checkpointTruncated', cut, `${size - 5} bytes`, `promises ${size}`);
    fs.writeFileSync(cut, fs.readFileSync(good).subarray(0, 20));
    fails(() => openCheckpoint(cut), 'checkpointTruncated', cut, '20 bytes');
    fs.writeFileSync(cut, 'abc');
    fails(() => openCheckpoint(cut), 'checkpointTruncated', cut, '3 bytes', 'promises 8');
  });

  test.each([
    ['not JSON', '{"probe": ', 'its header is not JSON'],
    ['no table', '[1, 2]', 'not a table'],
    ['null', 'null', 'not a table'],
    ['an entry that is null', '{"probe": null}', 'probe: null'],
    ['an entry without offsets', '{"probe": {"dtype": "F32", "shape": [1]}}', /probe: {"dtype":"F32"/],
    ['offsets before the start', '{"probe": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}', '-4'],
    ['offsets backwards', '{"probe": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', /\[4,0\]/],
    [
      'another size than the shape',
      '{"probe": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}',
      /probe \(F32 \[3\]\) has 8 bytes, expected 12/,
    ],
  ])('whose header is %s is no safetensors file', (name, header, reason) => {
    const file = at(`${name}.safetensors`);
    writeWithHeader(file, header, new Uint8Array(16));
    fails(() => openCheckpoint(file), 'checkpointInvalid', file, reason);
  });

  test('that is random bytes is no safetensors file', () => {
    const file = at('random.safetensors');
    fs.writeFileSync(file, Buffer.alloc(64, 0xa5));
    fails(
      () => openCheckpoint(file),
      'checkpointInvalid',
      file,
      /header of 119361285182826\d+ bytes.*at most 100000000/,
    );
  });

  test('in no known layout names some of its tensors and the layouts', () => {
    const file = at('other.safetensors');
    writeSafetensors(file, { alpha: f32([1]), beta: f32([2]) });
    fails(() => sourceOf(file), 'checkpointUnknown', file, /2 tensors \(alpha, beta/, 'plain');
  });

  test('without a tensor that is needed names it, the file and the layout', () => {
    fails(
      () => weightsOf(good).at('block').tensor('weight', [2]),
      'tensorMissing',
      good,
      'block.weight',
      'plain',
    );
    fails(() => sourceOf(good).floats('absent'), 'tensorMissing', good, 'absent');
  });

  test('with a tensor of another shape says both shapes', () => {
    const wrong = () => weightsOf(good).tensor('matrix', [2, 3]);
    fails(wrong, 'tensorMisshapen', good, 'matrix', /\[3,2\].*expected \[2,3\]/);
  });

  test('with a tensor of a type that is not read says so when it is asked for', () => {
    fails(() => weightsOf(good).tensor('double', [1]), 'dtypeUnsupported', good, 'double', 'F64');
    fails(() => weightsOf(good).tensor('packed', [16]), 'dtypeUnsupported', good, 'packed', 'F4');
    fails(() => sourceOf(good).floats('double'), 'dtypeUnsupported', 'F64');
  });

  test('asked for a row it does not have says how many there are', () => {
    fails(() => sourceOf(good).rows('matrix', [0, 3]), 'tokenOutOfRange', /row 3 of matrix.*3/);
    fails(() => sourceOf(good).rows('matrix', [-1]), 'tokenOutOfRange', 'row -1');
  });
});

describe('a folder', () => {
  const shards = at('sharded');
  const index = path.join(shards, 'model.safetensors.index.json');
  const weightMap = { probe: 'model-1.safetensors', matrix: 'model-2.safetensors' };
  fs.mkdirSync(shards);
  writeSafetensors(path.join(shards, 'model-1.safetensors'), { probe: f32([7]) });
  writeSafetensors(path.join(shards, 'model-2.safetensors'), { matrix: f32([1, 2], [2, 1]) });
  fs.writeFileSync(path.join(shards, 'config.json'), '{"size": 3}');

  test('with a sharded index is one checkpoint', () => {
    fs.writeFileSync(index, JSON.stringify({ weight_map: weightMap }));
    const source = sourceOf(shards);
    expect(source.checkpoint.config).toEqual({ size: 3 });
    expect(source.checkpoint.files).toHaveLength(2);
    expect([...source.floats('probe'), ...source.floats('matrix')]).toEqual([7, 1, 2]);
  });

  test('whose index names a shard that is not there says which', () => {
    fs.writeFileSync(index, JSON.stringify({ weight_map: { ...weightMap, more: 'model-3.safetensors' } }));
    fails(() => openCheckpoint(shards), 'modelFileMissing', path.join(shards, 'model-3.safetensors'));
  });

  test('whose index is broken says so', () => {
    fs.writeFileSync(index, '{}');
    fails(() => openCheckpoint(shards), 'checkpointInvalid', index, 'weight_map');
    fs.writeFileSync(index, '{"weight_map"');
    fails(() => openCheckpoint(shards), 'modelConfigInvalid', index);
  });

  test('without weights says what it holds instead', () => {
    fs.mkdirSync(at('empty'));
    fs.writeFileSync(at('empty', 'model.bin'), '');
    fails(() => openCheckpoint(at('empty')), 'modelFileMissing', at('empty'), 'model.bin');
  });

  test('with a half precision variant beside the weights is read from the weights', () => {
    fs.mkdirSync(at('variants'));
    writeSafetensors(at('variants', 'model.fp16.safetensors'), { probe: f32([16]) });
    writeSafetensors(at('variants', 'model.safetensors'), { probe: f32([32]) });
    expect([...sourceOf(at('variants')).floats('probe')]).toEqual([32]);
  });
});

describe('stored numbers', () => {
  /** Bytes that begin at an odd address, as tensors in a file may. */
  const unaligned = (bits: number[]) => {
    const bytes = Buffer.alloc(1 + 2 * bits.length);
    bits.forEach((half, i) => {
      bytes.writeUInt16LE(half, 1 + 2 * i);
    });
    return bytes.subarray(1);
  };

  test('of type BF16 are the upper halves of f32', () => {
    const bits = [0x3f80, 0xc040, 0x0000, 0x8000, 0x7f80, 0x0001, 0x4049];
    const values = toFloats(unaligned(bits), 'BF16');
    expect([...values]).toEqual([1, -3, 0, -0, Infinity, 2 ** -133, 3.140625]);
    expect(toFloats(unaligned([0x7fc0]), 'BF16')[0]).toBeNaN();
  });

  test('of type F16 have five bits of exponent, and less below', () => {
    const bits = [0x3c00, 0xc200, 0x0000, 0x8000, 0x7c00, 0x0001, 0x7bff, 0x3555];
    const values = toFloats(unaligned(bits), 'F16');
    expect([...values]).toEqual([1, -3, 0, -0, Infinity, 2 ** -24, 65504, 0.333251953125]);
  });

  test('of type F32 are themselves', () => {
    const bytes = Buffer.alloc(9);
    bytes.writeFloatLE(-1.5, 1);
    bytes.writeFloatLE(2 ** -149, 5);
    expect([...toFloats(bytes.subarray(1), 'F32')]).toEqual([-1.5, 2 ** -149]);
  });
});
