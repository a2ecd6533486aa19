import { expect, it } from 'vitest';
import { bitsOf, indexOfLargest } from '../../src/engine/weights/magnitudes.ts';

it.each([
  ['the number that is furthest from zero on either side', [1, -3, 2.5], 0, 3, 1],
  ['the first of equal magnitudes', [0.5, -2, 2, 1], 0, 4, 1],
  ['a subnormal number among zeros of both signs', [0, -0, 1e-45, 0], 0, 4, 2],
  ['the first where all are zero', [-0, 0, 0], 1, 3, 1],
  ['NaN before infinity', [3, Number.NEGATIVE_INFINITY, Number.NaN], 0, 3, 2],
  ['only those from the first to the last', [9, 1, 2, 8], 1, 3, 2],
])('finds %s', (_, numbers, from, to, expected) => {
  expect(indexOfLargest(bitsOf(Float32Array.from(numbers)), from, to)).toBe(expected);
});

it('reads the bits of a part of a buffer', () => {
  const part = Float32Array.from([9, 1, -4, 2]).subarray(1);
  expect(indexOfLargest(bitsOf(part), 0, part.length)).toBe(1);
});
