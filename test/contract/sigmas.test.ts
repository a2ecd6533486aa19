import { describe, expect, it } from 'vitest';
import type { Plan } from '../../src/engine/plan.ts';
import { sigmas } from '../../src/engine/sigmas/index.ts';

const spacings = Object.keys(sigmas) as Plan['sigmas'][];

describe.each(spacings)('the %s levels', (spacing) => {
  it('fall from 1 to 0, one more than there are steps', () => {
    for (const steps of [1, 2, 3, 4, 28, 50]) {
      const levels = [...sigmas[spacing].levels(steps, 1.15)];
      expect(levels).toHaveLength(steps + 1);
      expect(levels[0]).toBe(1);
      expect(levels.at(-1)).toBe(0);
      expect(levels).toEqual([...new Set(levels)].sort((a, b) => b - a));
    }
  });
});

const below = (spacing: Plan['sigmas'], level: number) =>
  [...sigmas[spacing].levels(28, 1.15)].filter((sigma) => sigma > 0 && sigma < level).length;

it.each([
  ['karras', 'shifted'],
  ['exponential', 'karras'],
  ['beta', 'shifted'],
  ['uniform-karras', 'uniform'],
  ['uniform-exponential', 'uniform-karras'],
  ['uniform', 'shifted'],
] as const)('%s levels spend more steps at little noise than %s ones', (more, fewer) => {
  expect(below(more, 0.3)).toBeGreaterThan(below(fewer, 0.3));
});

it('EDM levels go on to less noise than any others', () => {
  const lowest = (spacing: Plan['sigmas']) => sigmas[spacing].levels(28, 1.15)[27]!;
  for (const spacing of spacings)
    if (spacing !== 'edm') expect(lowest(spacing)).toBeGreaterThan(10 * lowest('edm'));
});

it('beta levels are dense at both ends', () => {
  const levels = sigmas['uniform-beta'].levels(28, 0);
  const gaps = Array.from({ length: 27 }, (_, i) => levels[i]! - levels[i + 1]!);
  const middle = gaps[13]!;
  expect(gaps[0]!).toBeLessThan(middle / 3);
  expect(gaps[26]!).toBeLessThan(middle / 3);
});

it('the shift for large images moves all levels but the uniform and EDM ones', () => {
  const moved = spacings.filter(
    (spacing) => sigmas[spacing].levels(8, 0.5).join() !== sigmas[spacing].levels(8, 1.15).join(),
  );
  expect(moved).toEqual(['shifted', 'karras', 'exponential', 'beta']);
});
