import { describe, expect, it } from 'vitest';
import type { Price } from '../../src/store/manifest.ts';
import { costOf } from '../../src/tasks/results/cost.ts';

const perImage: Price = { perImage: 0.0105, of: { width: 1024, height: 1024, steps: 28 } };
const work = { width: 1024, height: 1024, steps: 28, seconds: 4 };

describe('the cost of an image', () => {
  it('is the price for a picture of the reference', () => {
    expect(costOf(perImage, work)).toBe(0.0105);
  });

  it('grows with the steps', () => {
    expect(costOf(perImage, { ...work, steps: 14 })).toBe(0.00525);
    expect(costOf(perImage, { ...work, steps: 50 })).toBe(0.01875);
  });

  it('grows with the pixels', () => {
    // 1568 · 672 / 1024² = 1.00488…
    expect(costOf(perImage, { ...work, width: 1568, height: 672 })).toBe(0.01055127);
  });

  it('does not depend on the time it took, unless the price is per second', () => {
    expect(costOf(perImage, { ...work, seconds: 400 })).toBe(0.0105);
    expect(costOf({ perSecond: 0.0003 }, { ...work, seconds: 400.5 })).toBe(0.12015);
  });

  it('has no noise of binary fractions', () => {
    expect(costOf({ perSecond: 0.1 }, { ...work, seconds: 3 })).toBe(0.3);
  });
});
