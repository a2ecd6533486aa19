import { describe, expect, it } from 'vitest';
import { CacheClock, caches, type StepCache } from '../../src/engine/caches/index.ts';
import { outputChange } from '../../src/engine/caches/tea.ts';
import type { CacheName, CachePlan } from '../../src/engine/plan.ts';

const names = Object.keys(caches) as CacheName[];
const entries: Record<CacheName, StepCache> = caches;
const steps = 20;

type Ask = { changes?: Partial<CachePlan>; distance?: number; evaluations?: number; refreshBefore?: number };

/** Whether each evaluation of a run reuses, step by step. */
function reuses(name: CacheName, { changes, distance = 0.01, evaluations = 1, refreshBefore }: Ask): string {
  const plan: CachePlan = { name, threshold: 1, from: 0, to: steps, maxConsecutive: steps, ...changes };
  const clock = new CacheClock(plan, steps, entries[name].decider(plan.threshold));
  let pattern = '';
  let kept = false;
  for (let step = 0; step < steps; step++) {
    if (step === refreshBefore) clock.refresh();
    for (let i = 0; i < evaluations; i++) {
      const reused = clock.decide(step, kept ? distance : undefined);
      kept = true;
      pattern += reused ? '1' : '0';
    }
  }
  return pattern;
}

describe.each(names)('%s', (name) => {
  it('computes everything at threshold 0, even where nothing changes', () => {
    expect(reuses(name, { changes: { threshold: 0 }, distance: 0 })).toBe('0'.repeat(steps));
  });

  it('computes the first and the last step always', () => {
    expect(reuses(name, { changes: { threshold: 1e9 } })).toBe(`0${'1'.repeat(steps - 2)}0`);
  });

  it('reuses the more the higher the threshold and the smaller the changes', () => {
    const count = (threshold: number, distance: number) =>
      [...reuses(name, { changes: { threshold }, distance })].filter((each) => each === '1').length;
    for (const distance of [0.02, 0.08, 0.15]) {
      const counts = [0, 0.05, 0.1, 0.22, 0.44, 1].map((threshold) => count(threshold, distance));
      expect(counts).toEqual([...counts].sort((a, b) => a - b));
    }
    expect(count(0.22, 0.02)).toBeGreaterThan(count(0.22, 0.22));
  });

  it('reuses inside its window only', () => {
    const pattern = reuses(name, { changes: { threshold: 1e9, from: 5, to: 9 } });
    expect(pattern).toBe(`${'0'.repeat(5)}1111${'0'.repeat(steps - 9)}`);
    expect(reuses(name, { changes: { threshold: 1e9, from: 9, to: 9 } })).toBe('0'.repeat(steps));
  });

  it('computes a step after so many with reuse', () => {
    for (const maxConsecutive of [1, 2, 3, 5]) {
      const pattern = reuses(name, { changes: { threshold: 1e9, maxConsecutive } });
      const round = `0${'1'.repeat(maxConsecutive)}`;
      expect(pattern.slice(0, -1)).toBe(round.repeat(steps).slice(0, steps - 1));
    }
  });

  it('counts steps, not evaluations, where a sampler has two a step', () => {
    const pattern = reuses(name, {
      changes: { threshold: 1e9, from: 3, to: 14, maxConsecutive: 2 },
      evaluations: 2,
    });
    expect(pattern.match(/../g)!.map((pair) => pair[0] === pair[1])).toEqual(Array(steps).fill(true));
    expect(
      pattern
        .match(/../g)!
        .map((pair) => pair[0])
        .join(''),
    ).toBe('00011011011011000000');
  });

  it('computes the step after the network has changed', () => {
    const pattern = reuses(name, { changes: { threshold: 1e9 }, refreshBefore: 8 });
    expect(pattern).toBe(`0${'1'.repeat(7)}0${'1'.repeat(steps - 10)}0`);
  });

  it('never reuses what it cannot compare', () => {
    expect(reuses(name, { changes: { threshold: 1e9 }, distance: Number.NaN })).toBe('0'.repeat(steps));
  });
});

describe('TeaCache', () => {
  // numpy.poly1d([-1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863]) at these distances.
  it.each([
    [0, 0.0374537863],
    [0.05, 0.0481578913],
    [0.1, 0.1169609694],
    [0.2, 0.2676754925],
  ])('takes a change of %f of the input for one of %f of the output', (distance, change) => {
    expect(outputChange(distance)).toBeCloseTo(change, 6);
  });

  it('takes a change beyond what its polynomial was fitted to for too large', () => {
    expect(outputChange(0.2401)).toBe(Number.POSITIVE_INFINITY);
    expect(reuses('tea', { changes: { threshold: 1e9 }, distance: 0.25 })).not.toContain('1');
  });

  it('adds changes up until they reach the threshold, and begins again at a computed step', () => {
    // A change of 0.05 is worth 0.0482: four of them stay below 0.22, the fifth does not.
    expect(reuses('tea', { changes: { threshold: 0.22 }, distance: 0.05 })).toBe('01111011110111101110');
  });

  it('begins again where a limit forces a step too', () => {
    expect(
      reuses('tea', { changes: { threshold: 0.22, maxConsecutive: 2 }, distance: 0.05 }).slice(0, 9),
    ).toBe('011011011');
  });
});

it('block caches compare with the last computed step and TeaCache with the last step', () => {
  expect(names.map((name) => [entries[name].after, entries[name].against])).toEqual([
    ['nothing', 'last'],
    ['first', 'computed'],
    ['head', 'computed'],
  ]);
});
