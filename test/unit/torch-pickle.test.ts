/** Files of torch.save: test/data/reference/pickle_files.py made them. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { toFloats } from '../../src/engine/weights/floats.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { RetouchError } from '../../src/error.ts';

const file = (name: string) => path.join(import.meta.dirname, '../data/pickle', `${name}.bin`);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-pickle-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const eighths = (from: number, to: number, factor = 1) =>
  Array.from({ length: to - from }, (_, i) => (factor * (from + i)) / 8);

it('a dictionary of tensors is read, its keys joined by dots, and what is no tensor passed over', () => {
  const { tensors } = openCheckpoint(file('adapter'));
  const found = [...tensors.values()].map((entry) => [entry.name, entry.dtype, entry.shape]);
  expect(found).toEqual([
    ['image_proj.proj.0.weight', 'F32', [3, 4]],
    ['image_proj.norm.bias', 'F32', [4]],
    ['ip_adapter.0.to_k_ip.weight', 'BF16', [2, 4]],
    ['ip_adapter.0.half', 'F16', [3, 4]],
    ['ip_adapter.0.scalar', 'I64', []],
  ]);
  const values = (name: string) => [...toFloats(readBytes(tensors.get(name)!), tensors.get(name)!.dtype)];
  expect(values('image_proj.proj.0.weight')).toEqual(eighths(0, 12));
  // The third row of the same storage.
  expect(values('image_proj.norm.bias')).toEqual(eighths(8, 12));
  expect(values('ip_adapter.0.to_k_ip.weight')).toEqual(eighths(4, 12));
  expect(values('ip_adapter.0.half')).toEqual(eighths(0, 12, 2));
});

describe('a file is refused', () => {
  it.each([
    ['that would run a command', 'evil', /its pickle names (posix|nt)\.system, which tensors do not need/],
    ['of PyTorch before 1.6', 'legacy', /PyTorch before 1\.6 wrote it/],
    ['whose tensor is a transposed view', 'strided', /a is a view of other strides \(\[1,4\] for \[4,3\]\)/],
  ])('%s', (_, name, says) => {
    expect(() => openCheckpoint(file(name))).toThrow(
      expect.objectContaining({ code: 'checkpointInvalid', message: expect.stringMatching(says) }),
    );
  });

  it('wherever it is cut or a byte of it is another, with an error of ours', () => {
    const whole = fs.readFileSync(file('adapter'));
    const target = path.join(folder, 'damaged.bin');
    const open = (bytes: Uint8Array) => {
      fs.writeFileSync(target, bytes);
      try {
        openCheckpoint(target);
      } catch (error) {
        expect(error).toBeInstanceOf(RetouchError);
      }
    };
    for (let length = 4; length < whole.length; length += 29) open(whole.subarray(0, length));
    for (let at = 4; at < whole.length; at += 7) {
      const bytes = Uint8Array.from(whole);
      bytes[at]! ^= 0x5a;
      open(bytes);
    }
  });
});
